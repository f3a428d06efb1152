"""Rate limits: per key or address, shared by all gateways, told on every answer."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from contracts.keys import Role
from contracts.settings import MeshSettings
from gateway.allowances import Allowances
from gateway.auth import Keyring
from gateway.door import Door, open_call
from gateway.errors import RateLimited
from gateway.metrics import Metrics
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from ops import keys
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.limits import open_redis
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.unit.gateway.test_auth import ACME, Keys
from tests.waiting import until

#: Where Redis is not to count as away because the machine is busy, in seconds.
PATIENT = 10.0

NOWHERE = "redis://127.0.0.1:1/0"


async def greet(_call: Call) -> Answer:
    return Answer(200, b"{}")


async def no_body(_at_most_bytes: int) -> bytes:
    return b""


GREETING = Route(RouteName.GET_SUMMARY, "GET", "/", greet, Permission.READ)


@pytest_asyncio.fixture
async def gateway(
    settings: MeshSettings, bus: Bus, direct: frozenset[RouteName]
) -> AsyncIterator[RunningGateway]:
    async with running_gateway(
        settings, direct=direct, gateway_rate_limit=10
    ) as gateway:
        yield gateway


def remaining(response: aiohttp.ClientResponse) -> int:
    assert response.headers["RateLimit-Policy"] == '"default";q=10;w=60'
    match = re.fullmatch(r'"default";r=(\d+);t=(\d+)', response.headers["RateLimit"])
    assert match is not None
    assert int(match[2]) >= 1
    return int(match[1])


async def test_past_the_limit_a_caller_is_told_when_to_come_back(
    gateway: RunningGateway,
) -> None:
    responses = [await gateway.post() for _ in range(11)]
    last = responses.pop()

    assert [r.status for r in responses] == [202] * 10
    assert [remaining(r) for r in responses] == list(reversed(range(10)))
    assert last.status == 429
    assert remaining(last) == 0
    assert (await problem_of(last))["type"] == "/probs/rate-limited"
    assert 1 <= int(last.headers["Retry-After"]) <= 6
    assert await gateway.count() == 10


async def test_a_batch_costs_its_size_and_is_let_in_whole_or_not_at_all(
    gateway: RunningGateway,
) -> None:
    first = await gateway.post({"notifications": [SMS] * 6}, BATCHES)
    second = await gateway.post({"notifications": [SMS] * 6}, BATCHES)

    assert (first.status, remaining(first)) == (202, 4)
    assert (second.status, remaining(second)) == (429, 4)
    assert 6 <= int(second.headers["Retry-After"]) <= 18
    assert await gateway.count() == 6
    assert (await gateway.post()).status == 202


async def test_every_answer_tells_what_is_left(gateway: RunningGateway) -> None:
    answers = [
        await gateway.get(f"{NOTIFICATIONS}/not-an-id"),
        await gateway.get("/nothing"),
        await gateway.http.delete(NOTIFICATIONS),
        await gateway.post({}),
        await gateway.http.post(NOTIFICATIONS, data=b"x"),
        await gateway.get("/healthz/live"),
        await gateway.get("/metrics"),
    ]

    assert [r.status for r in answers] == [400, 404, 405, 400, 415, 200, 200]
    assert [remaining(r) for r in answers] == [9, 8, 7, 6, 5, 5, 5]


async def test_probes_are_never_limited(gateway: RunningGateway) -> None:
    for _ in range(12):
        last = await gateway.get("/nothing")
    assert last.status == 429
    assert (await gateway.get("/healthz/live")).status == 200
    assert (await gateway.get("/healthz/ready")).status == 200
    assert (await gateway.get("/metrics")).status == 200


async def test_a_key_has_its_own_limit_and_guessing_has_one_too(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    ours, another, theirs = [
        f"Bearer {(await keys.create('acme', 'test', Role.ADMIN))[0]}" for _ in range(3)
    ]
    async with running_gateway(
        settings, gateway_rate_limit=10, gateway_require_keys=True
    ) as gateway:
        statuses = [(await gateway.post(Authorization=ours)).status for _ in range(11)]
        assert statuses == [202] * 10 + [429]
        assert (await gateway.post(Authorization=another)).status == 202
        statuses = [
            (await gateway.post(Authorization="Bearer x")).status for _ in range(11)
        ]
        assert statuses == [401] * 10 + [429]
        assert (await gateway.post(Authorization=another)).status == 202
        # a key that nobody knows yet could be another guess
        assert (await gateway.post(Authorization=theirs)).status == 429


async def test_guessing_past_the_limit_costs_no_lookup_and_holds_no_known_key_up(
    settings: MeshSettings, redis: Redis
) -> None:
    keys_there = Keys(known=ACME, other=ACME)
    metrics = Metrics(CollectorRegistry())
    async with open_redis(settings) as client:
        door = Door(
            Keyring(keys_there, 0).authenticate,
            metrics,
            allowances=Allowances(client, metrics, per_minute=4, ask_seconds=PATIENT),
            answer_seconds=60,
        )

        async def status(key: str) -> int:
            headers = {b"authorization": f"Bearer {key}".encode()}
            call = open_call("GET", "/", headers, no_body, ("203.0.113.1", 1))
            return (await door.answer(GREETING, call)).status

        assert [await status("known") for _ in range(3)] == [200] * 3
        assert [await status(f"guess-{n}") for n in range(10)] == [401] * 4 + [429] * 6
        assert keys_there.looked_up == 3 + 4
        assert [await status(key) for key in ("known", "other")] == [200, 429]
        assert keys_there.looked_up == 3 + 4 + 1


async def test_addresses_are_told_apart_behind_a_proxy_that_is_known(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(
        settings, gateway_rate_limit=2, gateway_trusted_proxies="127.0.0.0/8"
    ) as gateway:

        async def statuses(forwarded: str, count: int) -> list[int]:
            return [
                (await gateway.post(X_Forwarded_For=forwarded)).status
                for _ in range(count)
            ]

        assert await statuses("203.0.113.1", 3) == [202, 202, 429]
        assert await statuses("203.0.113.2", 1) == [202]
        assert await statuses("198.51.100.1, 203.0.113.1", 1) == [429]
        assert await statuses("2001:db8::1", 2) == [202, 202]
        assert await statuses("2001:db8::2", 1) == [429]


async def test_a_stranger_cannot_choose_an_address(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings, gateway_rate_limit=2) as gateway:
        statuses = [
            (await gateway.post(X_Forwarded_For=f"203.0.113.{n}")).status
            for n in range(3)
        ]

    assert statuses == [202, 202, 429]


async def test_no_limit_is_neither_counted_nor_told(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(
        settings, gateway_rate_limit=0, redis_url=NOWHERE
    ) as gateway:
        response = await gateway.post()
        assert response.status == 202
        assert "RateLimit" not in response.headers
        assert gateway.metric("tocsin_rate_limits_local") == 0


async def test_two_gateways_grant_one_limit(settings: MeshSettings, bus: Bus) -> None:
    """Leases make a difference of a hundredth of the limit for each gateway at most."""
    limit = 1000
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                running_gateway(
                    settings.model_copy(update={"instance": name}),
                    gateway_rate_limit=limit,
                )
            )
            for name in ("one", "other")
        ]
        begun = time.monotonic()
        batch = {"notifications": [SMS] * 7}
        responses = await asyncio.gather(
            *(gateways[n % 2].post(batch, BATCHES) for n in range(200))
        )
        elapsed = time.monotonic() - begun
        accepted = 7 * [r.status for r in responses].count(202)

    assert {r.status for r in responses} == {202, 429}
    assert 0.97 * limit <= accepted <= limit + elapsed * limit / 60 + 1


@pytest.mark.parametrize("limit", [10, 1000])
async def test_replicas_never_grant_more_than_the_limit_and_lose_little(
    settings: MeshSettings, redis: Redis, limit: int
) -> None:
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(3):
            client = await stack.enter_async_context(open_redis(settings))
            metrics = Metrics(CollectorRegistry())
            replicas.append(
                Allowances(client, metrics, per_minute=limit, ask_seconds=PATIENT)
            )
        begun = time.monotonic()
        granted = 0

        async def greedy(allowances: Allowances) -> None:
            nonlocal granted
            while True:
                try:
                    await allowances.of("one").spend(1)
                except RateLimited:
                    return
                granted += 1

        await asyncio.gather(*(greedy(replica) for replica in replicas for _ in "1234"))
        elapsed = time.monotonic() - begun

    assert granted <= limit + elapsed * limit / 60 + 1
    assert granted >= limit * 0.97


async def test_a_lease_saves_nearly_all_questions(
    settings: MeshSettings, redis: Redis
) -> None:
    async with open_redis(settings) as client:
        allowances = Allowances(
            client,
            Metrics(CollectorRegistry()),
            per_minute=100_000,
            ask_seconds=PATIENT,
        )
        before = await _calls(redis)
        for _ in range(5_000):
            await allowances.of("one").spend(1)
        asked = await _calls(redis) - before

    assert asked <= 10


async def test_a_flood_past_the_limit_does_not_reach_redis(
    settings: MeshSettings, redis: Redis
) -> None:
    async with open_redis(settings) as client:
        allowances = Allowances(
            client, Metrics(CollectorRegistry()), per_minute=1, ask_seconds=PATIENT
        )
        await allowances.of("one").spend(1)
        before = await _calls(redis)
        for _ in range(500):
            with pytest.raises(RateLimited):
                await allowances.of("one").spend(1)
        asked = await _calls(redis) - before

    assert asked == 1


async def test_while_redis_is_away_each_gateway_counts_and_then_shares_again(
    settings: MeshSettings, redis: Redis
) -> None:
    stopping = asyncio.Event()
    registry = CollectorRegistry()
    async with open_redis(settings) as client:
        allowances = Allowances(client, Metrics(registry), per_minute=20)
        for _ in range(5):
            await allowances.of("one").spend(1)
        allowances._fall_back(ConnectionError("gone"))
        for _ in range(15):
            await allowances.of("one").spend(1)
        with pytest.raises(RateLimited):
            await allowances.of("one").spend(1)
        assert registry.get_sample_value("tocsin_rate_limits_local") == 1
        probing = asyncio.create_task(allowances.run(stopping))
        await until(lambda: registry.get_sample_value("tocsin_rate_limits_local") == 0)
        stopping.set()
        await probing


async def _calls(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return sum(
        int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])
        for name in ("evalsha", "eval")
    )
