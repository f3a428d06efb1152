"""The runtime as every service uses it: a real process on real servers."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from contracts import subjects
from contracts.channels import Channel, Priority
from contracts.mesh import LaneReading, ServiceCondition, ServiceState
from ops.embedded import ports
from ops.runtime.version import version
from tests.servers import Nats
from tests.waiting import until

Start = Callable[[], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def port() -> int:
    return ports.choose(1)[0]


@asynccontextmanager
async def idle(
    environment: dict[str, str],
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the idle service until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.idle"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def idle_environment(environment: dict[str, str], port: int) -> dict[str, str]:
    return {
        **environment,
        "TOCSIN_IDLE_PORT": str(port),
        "TOCSIN_INSTANCE": "idle-1",
    }


async def health(port: int, path: str) -> tuple[int, str, Any]:
    """Ask the health server; 0 while nobody listens."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as response,
        ):
            return response.status, response.content_type, await response.text()
    except aiohttp.ClientConnectorError:
        return 0, "", ""


async def ready(port: int) -> bool:
    return (await health(port, "/healthz/ready"))[0] == 200


async def unready(port: int) -> bool:
    return (await health(port, "/healthz/ready"))[0] == 503


async def stopped(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Wait for its end and return exit code, stdout and stderr."""
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_service_told_to_stop_exits_with_0_and_logs_json(
    idle_environment: dict[str, str], port: int, number: signal.Signals
) -> None:
    async with idle(idle_environment) as process:
        await until(lambda: ready(port), 15)
        process.send_signal(number)
        code, out, err = await stopped(process)

    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in lines] == ["service.started", "service.stopped"]
    assert {(line["service"], line["instance"]) for line in lines} == {
        ("idle", "idle-1")
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOCSIN_IDLE_PORT", "seventy"),
        ("TOCSIN_POSTGRES_DSN", "mysql://elsewhere"),
        ("TOCSIN_NATS_URL", None),
    ],
)
async def test_a_wrong_setting_exits_with_2_and_names_it(name: str, value: str) -> None:
    environment = {
        **os.environ,
        "TOCSIN_POSTGRES_DSN": "postgresql://tocsin@127.0.0.1/tocsin",
        "TOCSIN_NATS_URL": "nats://127.0.0.1",
        "TOCSIN_REDIS_URL": "redis://127.0.0.1",
        "TOCSIN_IDLE_PORT": "8081",
    }
    environment.pop(name)
    if value is not None:
        environment[name] = value

    async with idle(environment) as process:
        code, out, err = await stopped(process)

    assert (code, out) == (2, "")
    assert err.startswith(f"tocsin idle: {name}: ")
    assert len(err.splitlines()) == 1


async def test_a_service_starts_and_stops_without_any_server(port: int) -> None:
    environment = {
        **os.environ,
        "TOCSIN_POSTGRES_DSN": "postgresql://tocsin@127.0.0.1:9/tocsin",
        "TOCSIN_NATS_URL": "nats://127.0.0.1:9",
        "TOCSIN_REDIS_URL": "redis://127.0.0.1:9",
        "TOCSIN_IDLE_PORT": str(port),
    }
    async with idle(environment) as process:
        await until(lambda: unready(port), 15)
        assert (await health(port, "/healthz/live"))[0] == 200
        _, content_type, body = await health(port, "/healthz/ready")
        process.terminate()
        told = time.monotonic()
        code, _, _ = await stopped(process)

    assert content_type == "application/problem+json"
    assert json.loads(body)["detail"] == "not available: postgres, nats"
    assert code == 0
    assert time.monotonic() - told < 4


async def test_readiness_follows_the_servers(
    idle_environment: dict[str, str], port: int, nats_server: Nats
) -> None:
    async with idle(idle_environment) as process:
        await until(lambda: ready(port), 15)
        await nats_server.server.crash()
        await until(lambda: unready(port))
        assert (await health(port, "/healthz/live"))[0] == 200

        await nats_server.server.start()
        await until(lambda: ready(port))
        process.terminate()
        assert (await stopped(process))[0] == 0


async def test_a_frozen_bus_does_not_keep_a_service_from_stopping(
    idle_environment: dict[str, str], port: int, nats_server: Nats
) -> None:
    async with idle(idle_environment) as process:
        await until(lambda: ready(port), 15)
        nats_server.server.pause()
        process.terminate()
        try:
            assert (await stopped(process))[0] == 0
        finally:
            nats_server.server.resume()


async def test_a_service_says_what_it_is_once_a_second_and_says_goodbye(
    idle_environment: dict[str, str], nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    states: list[tuple[float, ServiceState]] = []

    async def hear(message: Msg) -> None:
        assert message.subject == subjects.mesh_state("idle", "idle-1")
        state = msgspec.json.decode(message.data, type=ServiceState)
        states.append((time.monotonic(), state))

    await client.subscribe(subjects.MESH_STATE_ALL, cb=hear)
    await client.flush()
    async with idle(idle_environment) as process:
        await until(lambda: len(states) >= 3, 15)
        process.terminate()
        assert (await stopped(process))[0] == 0
        pid = process.pid
    await client.drain()

    conditions = [state.condition for _, state in states]
    assert conditions[-1] == ServiceCondition.DRAINING
    assert set(conditions[:-1]) <= {ServiceCondition.READY, ServiceCondition.UNREADY}
    at, last = states[-2]
    assert last.condition == ServiceCondition.READY
    assert (last.service, last.instance, last.pid) == ("idle", "idle-1", pid)
    assert last.version == version()
    assert last.dependencies == {"postgres": "ok", "nats": "ok", "redis": "ok"}
    assert last.started_at < last.at
    assert last.rss_bytes > 10 << 20
    assert last.lag_seconds >= 0.0
    assert len(last.settings_hash) == 8
    assert last.gauges == {"idle_seconds": 1.5}
    assert last.lanes == [
        LaneReading(channel=Channel.SMS, priority=Priority.HIGH, in_flight=3)
    ]
    assert 0.8 < at - states[-3][0] < 1.6


async def test_a_service_answers_the_micro_protocol_while_it_lives(
    idle_environment: dict[str, str], port: int, nats_url: str
) -> None:
    client = await nats.connect(nats_url)

    async def ping() -> dict[str, Any] | None:
        try:
            reply = await client.request("$SRV.PING.tocsin-idle", timeout=1)
        except nats.errors.NoRespondersError:
            return None
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async with idle(idle_environment) as process:
        await until(lambda: ready(port), 15)
        answer = await until(ping)
        process.terminate()
        assert (await stopped(process))[0] == 0
        after = await ping()
    await client.close()

    assert answer["name"] == "tocsin-idle"
    assert answer["version"] == version()
    assert answer["metadata"] == {"instance": "idle-1"}
    assert after is None


async def test_metrics_are_served(idle_environment: dict[str, str], port: int) -> None:
    async with idle(idle_environment) as process:
        await until(lambda: ready(port), 15)
        status, content_type, _ = await health(port, "/metrics")
        process.terminate()
        assert (await stopped(process))[0] == 0

    assert (status, content_type) == (200, "text/plain")
