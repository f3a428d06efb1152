"""The gateway as a process of its own."""

import asyncio
import json
import signal
import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from contracts import subjects
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import NOTIFICATIONS, SMS
from tests.integration.gateway.processes import ended, logged, process


async def status(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> int:
    async with request as response:
        await response.read()
        return response.status


async def test_a_gateway_serves_until_it_is_told_to_stop(
    environment: dict[str, str], bus: Bus, ledger: Ledger
) -> None:
    async with process(environment, gateway_port=0) as started:
        port = (await logged(started, "gateway.listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            assert await status(http.post(NOTIFICATIONS, json=SMS)) == 202
        started.send_signal(signal.SIGTERM)
        code, log = await ended(started)
    assert code == 0
    events = [json.loads(line)["event"] for line in log]
    assert events.count("authentication.disabled") == 1
    assert events[-1] == "service.stopped"
    levels = {json.loads(line)["level"] for line in log}
    assert levels == {"info", "warning"}
    assert SMS["recipient"] not in "".join(log)
    assert (await bus.js.stream_info("NOTIFY")).state.messages == 1
    assert await ledger.fetch("SELECT FROM outbox_group") == []


async def test_the_heartbeat_says_how_much_waits(
    environment: dict[str, str], bus: Bus
) -> None:
    states: asyncio.Queue[Any] = asyncio.Queue()
    await bus.nc.subscribe(subjects.MESH_STATE_ALL, cb=states.put)
    async with process(environment, gateway_port=0, instance="one"):
        async with asyncio.timeout(20):
            state = json.loads((await states.get()).data)
    assert (state["service"], state["instance"]) == ("gateway", "one")
    assert set(state["gauges"]) == {
        "requests_total",
        "accepted_notifications_total",
        "intake_depth_notifications",
        "publish_depth_notifications",
        "live_clients",
        "live_subscriptions",
        "live_frames_total",
        "live_slow_clients_total",
        "ledger_away",
        "spooled_notifications_total",
    }


async def test_a_port_in_use_is_said_in_one_sentence(
    environment: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with process(environment, gateway_port=port) as started:
            failure = await logged(started, "service.failed")
            code, _ = await ended(started)
    assert code == 1
    assert (
        failure["reason"]
        == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    )


async def test_a_gateway_that_starts_before_its_servers_serves_when_they_come(
    environment: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nats = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
    async with process(environment, gateway_port=0, nats_url=nats) as started:
        port = (await logged(started, "gateway.listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            assert await status(http.get("/healthz/live")) == 200
            assert await status(http.get("/healthz/ready")) == 200
            assert await status(http.post(NOTIFICATIONS, json=SMS)) == 202
        started.send_signal(signal.SIGTERM)
        code, _ = await ended(started)
    assert code == 0


async def test_what_the_ledger_refuses_is_logged_without_the_row(
    environment: dict[str, str], bus: Bus, ledger: Ledger
) -> None:
    await ledger.fetch(
        "ALTER TABLE notification ADD CONSTRAINT no_code CHECK (content !~ 'code')"
    )
    refused = SMS | {"content": "your code is 4711"}
    async with process(environment, gateway_port=0) as started:
        port = (await logged(started, "gateway.listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            response = await http.post(NOTIFICATIONS, json=refused)
            assert response.status == 500
            assert "no_code" not in await response.text()
        failure = await logged(started, "submission.failed")
        started.send_signal(signal.SIGTERM)
        _, log = await ended(started)
    assert failure["constraint"] == "no_code"
    for words in (json.dumps(failure), *log):
        assert SMS["recipient"] not in words
        assert "4711" not in words
