"""Waiting for a token is free, the limit is shared, and urgent lanes go first."""

import asyncio
import time
from collections import Counter

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from contracts.channels import Channel, Priority
from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from dispatcher.metrics import Metrics
from dispatcher.pacing import THROTTLED_COSTS, Pacing, pace_of, urgent_pace_of
from dispatcher.peers import Peers
from dispatcher.rates import Rates
from dispatcher.routes import ProviderEntry, Routes
from ops.runtime.bus import Bus
from ops.runtime.controls import Controls
from ops.runtime.ledger import Ledger
from ops.runtime.limits import open_redis
from tests.integration.dispatcher.endpoint import Endpoint, Gate
from tests.integration.dispatcher.running import (
    dispatcher_settings,
    have_status,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until

NOWHERE = "redis://127.0.0.1:1/0"
#: What a bucket may gain between two questions on a busy machine.
BROUGHT_AT_MOST = 5


def pacing_over(
    redis: Redis,
    rate: float,
    peers: Peers | None = None,
    routes: Routes | None = None,
) -> Pacing:
    rates = Rates(Controls(Bus()), rate, routes)
    return Pacing(redis, peers or Peers(), Metrics(CollectorRegistry()), rates)


async def test_a_bucket_is_shared_by_all_who_take_from_it(redis: Redis) -> None:
    one, two = pacing_over(redis, 100), pacing_over(redis, 100)
    begun = time.monotonic()
    granted = 0
    while (elapsed := time.monotonic() - begun) < 0.5:
        for pacing in (one, two):
            grant = await pacing.take(Channel.SMS, 50)
            granted += grant.tokens
            assert grant.tokens == 50 or grant.wait_seconds > 0
        await asyncio.sleep(0.01)

    assert 50 * elapsed <= granted <= 100 * elapsed + pace_of(100).size + 2


async def test_channels_have_buckets_of_their_own(redis: Redis) -> None:
    pacing = pacing_over(redis, 10)
    first = await pacing.take(Channel.SMS, 100)
    other = await pacing.take(Channel.EMAIL, 100)

    assert first.tokens == other.tokens == pace_of(10).size
    assert (await pacing.take(Channel.SMS, 100)).tokens == 0


async def test_a_backlog_leaves_tokens_for_urgent_work(redis: Redis) -> None:
    pacing = pacing_over(redis, 20)
    lesser = await pacing.take(Channel.SMS, 500)
    none = await pacing.take(Channel.SMS, 500)
    urgent = await pacing.take(Channel.SMS, 500, urgent=True)

    assert lesser.tokens == pace_of(20).size
    assert none.tokens == 0
    assert urgent.tokens == urgent_pace_of(20).size - pace_of(20).size > 0


async def test_no_limit_asks_nobody() -> None:
    pacing = pacing_over(Redis.from_url(NOWHERE), 0)

    assert (await pacing.take(Channel.SMS, 500)).tokens == 500


async def test_a_throttled_answer_costs_tokens(redis: Redis) -> None:
    pacing = pacing_over(redis, 100)
    await pacing.charge_for_throttling(Channel.SMS, "webhook")
    grant = await pacing.take(Channel.SMS, 100)

    left = pace_of(100).size - THROTTLED_COSTS
    assert left <= grant.tokens <= left + BROUGHT_AT_MOST


async def test_a_limit_of_its_own_pays_for_a_provider_s_throttling(
    redis: Redis,
) -> None:
    routes = Routes(providers={"acme": ProviderEntry(rate=200)})
    pacing = pacing_over(redis, 100, routes=routes)
    await pacing.charge_for_throttling(Channel.SMS, "acme")

    assert (await pacing.take(Channel.SMS, 100)).tokens == pace_of(100).size
    left = pace_of(200).size - THROTTLED_COSTS
    tokens = (await pacing.take_for("acme", 100)).tokens
    assert left <= tokens <= left + BROUGHT_AT_MOST
    assert (await pacing.take_for("other", 100)).tokens == 100


async def test_throttling_makes_a_bounded_debt(redis: Redis) -> None:
    pacing = pacing_over(redis, 1)
    for _ in range(100):
        await pacing.charge_for_throttling(Channel.SMS, "webhook")
    grant = await pacing.take(Channel.SMS, 1)

    assert grant.tokens == 0
    assert 4 < grant.wait_seconds <= 6


async def test_without_redis_each_dispatcher_takes_its_share(
    settings: MeshSettings,
) -> None:
    away = settings.model_copy(update={"redis_url": NOWHERE})
    peers = Peers()
    peers.heard("one", time.monotonic())
    peers.heard("two", time.monotonic())
    async with open_redis(away) as redis:
        pacing = pacing_over(redis, 200, peers)
        with structlog.testing.capture_logs() as logs:
            begun = time.monotonic()
            granted = 0
            while (elapsed := time.monotonic() - begun) < 0.5:
                granted += (await pacing.take(Channel.SMS, 50)).tokens
                await asyncio.sleep(0.01)

    assert 50 * elapsed <= granted <= 100 * elapsed + 2
    assert [entry["event"] for entry in logs] == ["pacing.fell_back"]


async def test_a_dispatcher_without_redis_delivers_at_the_agreed_rate(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    ours = dispatcher_settings(
        settings, endpoint.url, redis_url=NOWHERE, dispatcher_channel_rate=50
    )
    ids = await seed_notifications(ledger, bus, 50)
    begun = time.monotonic()
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: have_status(ledger, ids, "delivered"))
        elapsed = time.monotonic() - begun
        registry = dispatcher.service.registry
        assert registry.get_sample_value("tocsin_pacing_shared") == 0
        assert registry.get_sample_value("tocsin_pacing_fallbacks_total") == 1

    assert elapsed > 0.8


async def test_waiting_for_a_token_costs_neither_attempt_nor_delivery(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=20)
    ids = await seed_notifications(ledger, bus, 30)
    begun = time.monotonic()
    async with running_dispatcher(ours), running_dispatcher(ours, "two"):
        await until(lambda: len(endpoint.received) >= 10)
        waiting = await ledger.fetch(
            "SELECT attempts, sequence FROM notification WHERE status = 'queued'"
        )
        info = await bus.js.consumer_info(NOTIFY.name, "sms-normal")
        await until(lambda: have_status(ledger, ids, "delivered"))
        elapsed = time.monotonic() - begun

    assert len(waiting) > 5
    assert {tuple(row) for row in waiting} == {(0, 2)}
    assert info.delivered is not None
    assert info.delivered.consumer_seq < 30 - 5
    assert info.num_redelivered == 0
    assert elapsed > (30 - pace_of(20).size) / 20 - 0.2


@pytest.mark.parametrize(
    ("seconds", "at_least"),
    [
        # Both may stall for longer than a burst where many tests run beside this one.
        (8, 75),
        pytest.param(30, 97, marks=[pytest.mark.long, pytest.mark.timeout(120)]),
    ],
)
async def test_two_dispatchers_send_together_what_one_may(
    ledger: Ledger,
    bus: Bus,
    settings: MeshSettings,
    endpoint: Endpoint,
    seconds: float,
    at_least: float,
) -> None:
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=100)
    await seed_notifications(ledger, bus, 4500)
    async with running_dispatcher(ours), running_dispatcher(ours, "two"):
        await until(lambda: len(endpoint.received) >= 50)
        begun, before = time.monotonic(), len(endpoint.received)
        await until(lambda: time.monotonic() - begun >= seconds, seconds + 2)
        rate = (len(endpoint.received) - before) / (time.monotonic() - begun)
        waiting = await ledger.fetch(
            "SELECT DISTINCT attempts, sequence FROM notification WHERE status = 'queued'"
        )
        info = await bus.js.consumer_info(NOTIFY.name, "sms-normal")

    assert at_least <= rate <= 103
    assert {tuple(row) for row in waiting} == {(0, 2)}
    assert info.num_redelivered == 0
    assert info.delivered is not None
    assert info.delivered.consumer_seq <= len(endpoint.received) + 20


async def backlogs(ledger: Ledger, bus: Bus, each: int) -> dict[str, Priority]:
    """Queue so many in every lane; return which lane each id is in."""
    lanes: dict[str, Priority] = {}
    # the least urgent are seeded first, so they come first on the bus
    for priority in reversed(Priority):
        for id_ in await seed_notifications(ledger, bus, each, priority=priority):
            lanes[str(id_)] = priority
    return lanes


async def test_urgent_notifications_overtake_and_the_others_still_move(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    lanes = await backlogs(ledger, bus, 800)
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_concurrency=40)
    async with running_dispatcher(ours):
        await until(lambda: len(endpoint.received) == 2400, timeout_seconds=30)

    order = endpoint.keys
    early = Counter(lanes[key] for key in order[:600])
    assert early[Priority.HIGH] >= 400
    assert early[Priority.NORMAL] >= 40
    assert early[Priority.LOW] >= 16
    finished = {
        p: max(map(order.index, (k for k in order if lanes[k] is p))) for p in Priority
    }
    assert finished[Priority.HIGH] < finished[Priority.NORMAL] < finished[Priority.LOW]


async def test_tokens_are_shared_out_while_all_three_lanes_have_a_backlog(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    lanes = await backlogs(ledger, bus, 900)
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=150)
    async with running_dispatcher(ours):
        await until(lambda: len(endpoint.received) >= 650, timeout_seconds=40)

    sent = Counter(lanes[key] for key in endpoint.keys[50:650])
    shares = {priority: sent[priority] / 600 for priority in Priority}
    # What is kept for urgent work comes on top of its share, where a dispatcher was held up.
    assert 0.75 <= shares[Priority.HIGH] <= 0.90
    assert 0.07 <= shares[Priority.NORMAL] <= 0.20
    assert 0.02 <= shares[Priority.LOW] <= 0.08


async def test_an_urgent_notification_does_not_wait_behind_a_backlog(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    await seed_notifications(ledger, bus, 300, priority=Priority.LOW)
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_concurrency=20)
    async with running_dispatcher(ours):
        await until(lambda: endpoint.in_flight >= 16)
        [urgent] = await seed_notifications(ledger, bus, 1, priority=Priority.HIGH)
        gate.opened.set()
        await until(lambda: len(endpoint.received) == 301, timeout_seconds=10)

    assert endpoint.keys.index(str(urgent)) < 80


async def test_a_scarce_token_goes_where_work_waits(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    """Empty lanes hold no token back, and are looked into before one goes to a lesser lane."""
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=0.2)
    await seed_notifications(ledger, bus, 10, priority=Priority.LOW)
    async with running_dispatcher(ours), running_dispatcher(ours, "two"):
        # The whole burst, though either dispatcher has two lanes without work.
        await until(
            lambda: len(endpoint.received) >= pace_of(0.2).size, timeout_seconds=9
        )
        await seed_notifications(ledger, bus, 1, priority=Priority.HIGH, content="!")
        sent = len(endpoint.received)
        await until(
            lambda: any(r.body["content"] == "!" for r in endpoint.received),
            timeout_seconds=20,
        )

    place = [r.body["content"] for r in endpoint.received].index("!")
    assert place <= sent + 1
