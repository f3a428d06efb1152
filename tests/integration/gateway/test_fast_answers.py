"""The fast layer of idempotency: Redis there, flushed, away or slow, the rules are the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from contracts.ids import new_id
from contracts.settings import MeshSettings
from gateway.answers import Answers, Remembered, digest_of
from gateway.metrics import Metrics
from gateway.submissions import KeyOwner
from ops.runtime.bus import Bus
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.waiting import until

BATCH = {"notifications": [SMS | {"metadata": {"n": n}} for n in range(3)]}

ROUTES = pytest.mark.parametrize(
    ("path", "body"),
    [
        (NOTIFICATIONS, SMS | {"scheduled_at": "2199-01-01T00:00:00+02:00"}),
        (NOTIFICATIONS, SMS | {"scheduled_at": "2020-01-01T00:00:00Z"}),
        (BATCHES, BATCH),
    ],
    ids=["later", "now", "batch"],
)


def recalls(gateway: RunningGateway, outcome: str) -> float:
    return gateway.metric("tocsin_idempotency_recalls_total", outcome=outcome)


async def keep_the_rules(gateway: RunningGateway, path: str, body: Any) -> None:
    """Send a request, the same again, and another with its key."""
    first = await gateway.post(body, path, Idempotency_Key="k")
    again = await gateway.post(body, path, Idempotency_Key="k")
    other = await gateway.post(SMS | {"content": "x"}, path, Idempotency_Key="k")
    if path == BATCHES:
        other = await gateway.post({"notifications": [SMS]}, path, Idempotency_Key="k")

    assert (first.status, again.status, other.status) == (202, 200, 409)
    assert await again.read() == await first.read()
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Location" not in again.headers
    assert again.headers["X-Correlation-ID"] == first.headers["X-Correlation-ID"]
    problem = await problem_of(other)
    assert problem["type"] == "/probs/idempotency-key-mismatch"


@ROUTES
async def test_a_replay_is_answered_without_the_ledger(
    gateway: RunningGateway, path: str, body: Any
) -> None:
    first = await gateway.post(body, path, Idempotency_Key="k")
    await until(lambda: gateway.service.redis.dbsize())
    await gateway.ledger.fetch("ALTER TABLE idempotency_key RENAME TO hidden")
    again = await gateway.post(
        body, path, Idempotency_Key="k", X_Correlation_ID="another"
    )

    assert again.status == 200
    assert await again.read() == await first.read()
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.headers["X-Correlation-ID"] == first.headers["X-Correlation-ID"]
    assert recalls(gateway, "hit") == 1


@ROUTES
async def test_the_rules_hold_with_redis(
    gateway: RunningGateway, path: str, body: Any
) -> None:
    await keep_the_rules(gateway, path, body)


@ROUTES
async def test_a_flush_between_two_requests_changes_nothing(
    gateway: RunningGateway, redis: Redis, path: str, body: Any
) -> None:
    first = await gateway.post(body, path, Idempotency_Key="k")
    await until(redis.dbsize)
    await redis.flushdb()
    again = await gateway.post(body, path, Idempotency_Key="k")

    assert (first.status, again.status) == (202, 200)
    assert await again.read() == await first.read()
    assert recalls(gateway, "hit") == 0


async def test_the_rules_hold_while_redis_is_away(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings, redis_url="redis://127.0.0.1:1/0") as gateway:
        await keep_the_rules(gateway, NOTIFICATIONS, SMS)
        assert recalls(gateway, "away") == 3


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """Listen on a port, take everything in, and say nothing."""

    async def listen(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_redis_that_does_not_answer_costs_one_short_wait(
    settings: MeshSettings, bus: Bus
) -> None:
    async with (
        silence() as port,
        running_gateway(
            settings, redis_url=f"redis://127.0.0.1:{port}/0", gateway_rate_limit=0
        ) as gateway,
    ):
        with structlog.testing.capture_logs() as logs:
            begun = time.monotonic()
            await keep_the_rules(gateway, NOTIFICATIONS, SMS)
            elapsed = time.monotonic() - begun

        assert elapsed < 1.0
        events = [entry["event"] for entry in logs]
        assert events.count("answers.fell_back") == 1


async def test_redis_holds_nothing_that_a_request_or_its_answer_says(
    gateway: RunningGateway, redis: Redis
) -> None:
    body = SMS | {"content": "your code is 4711", "metadata": {"who": "Ada"}}
    response = await gateway.post(body, Idempotency_Key="ada@example.com")
    assert response.status == 202
    await until(redis.dbsize)
    held = b""
    for name in await redis.keys("tocsin:answer:*"):
        value = await redis.get(name)
        assert isinstance(name, bytes)
        assert isinstance(value, bytes)
        held += name + value

    assert held
    for word in (SMS["recipient"], "4711", "Ada", "ada@"):
        assert word.encode() not in held


async def test_an_answer_is_forgotten_with_its_key(
    settings: MeshSettings, bus: Bus, redis: Redis
) -> None:
    async with running_gateway(settings, gateway_idempotency_hours=1) as gateway:
        await gateway.post(Idempotency_Key="k")
        await until(lambda: redis.keys("tocsin:answer:*"))
        [name] = await redis.keys("tocsin:answer:*")

        assert 3590_000 < await redis.pttl(name) <= 3600_000


async def test_an_answer_that_would_be_another_today_comes_from_the_ledger(
    gateway: RunningGateway,
) -> None:
    """As after a new version of the gateway that tells more of a notification."""
    first = await gateway.post(Idempotency_Key="k")
    await until(lambda: gateway.service.redis.keys("tocsin:answer:*"))
    redis = gateway.service.redis
    [name] = await redis.keys("tocsin:answer:*")
    packed = await redis.get(name)
    assert isinstance(packed, bytes)
    await redis.set(name, packed[:48] + digest_of(b"other") + packed[80:])
    again = await gateway.post(Idempotency_Key="k", X_Correlation_ID="another")

    assert again.status == 200
    assert await again.read() == await first.read()
    assert again.headers["X-Correlation-ID"] == first.headers["X-Correlation-ID"]


async def test_what_is_asked_at_once_is_asked_together(redis: Redis) -> None:
    answers = Answers(redis, Metrics(CollectorRegistry()), remember_seconds=60)
    owners = [KeyOwner("acme", "POST /", str(n)) for n in range(100)]
    known = Remembered(b"h" * 32, new_id(), b"d" * 32, "c")
    answers.remember(owners[7], known)
    await answers.recall(owners[0])
    before = await questions(redis)
    found = await asyncio.gather(*(answers.recall(owner) for owner in owners))

    assert found == [known if n == 7 else None for n in range(100)]
    assert await questions(redis) == before + 1


async def questions(redis: Redis) -> int:
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])
