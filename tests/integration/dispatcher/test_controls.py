"""Dispatchers obey operators within a second, and what waits for them waits free of charge.

Bounds of time allow for a busy machine: a change that went unheard would take far longer.
"""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.js.api import ConsumerInfo

from contracts import controls, topology
from contracts.channels import Channel, Lane, Priority
from contracts.controls import BreakerOrder, BreakerOverride, Pause, RateLimit
from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from ops.runtime.bus import Bus
from ops.runtime.controls import clear_control, set_control
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import Endpoint, Gate
from tests.integration.dispatcher.running import (
    Running,
    dispatcher_settings,
    have_status,
    row_of,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until

SMS_LOW = controls.pause_key(Channel.SMS, Priority.LOW)
SMS = controls.pause_key(Channel.SMS)


def pause() -> Pause:
    return Pause(by="me", at=datetime.now(UTC))


async def consumer(bus: Bus, priority: Priority = Priority.NORMAL) -> ConsumerInfo:
    name = topology.lane_consumer(Lane(Channel.SMS, priority)).name
    info: ConsumerInfo = await bus.js.consumer_info(NOTIFY.name, name)
    return info


async def is_pulled(bus: Bus, priority: Priority, dispatchers: int = 1) -> bool:
    return (await consumer(bus, priority)).num_waiting == dispatchers


def shows_paused(dispatcher: Running, priority: Priority, value: int = 1) -> bool:
    registry = dispatcher.service.registry
    labels = {"channel": "sms", "priority": priority}
    return registry.get_sample_value("tocsin_lane_paused", labels) == value


async def test_a_paused_lane_waits_free_of_charge_while_the_others_move(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    ours = dispatcher_settings(settings, endpoint.url)
    async with running_dispatcher(ours) as one, running_dispatcher(ours, "two"):
        await until(lambda: is_pulled(bus, Priority.LOW, 2))
        begun = time.monotonic()
        await set_control(bus, SMS_LOW, pause())
        await until(lambda: is_pulled(bus, Priority.LOW, 0))
        assert time.monotonic() - begun < 2
        held = await seed_notifications(ledger, bus, 5, priority=Priority.LOW)
        moving = await seed_notifications(ledger, bus, 5)
        await until(lambda: have_status(ledger, moving, "delivered"))
        info = await consumer(bus, Priority.LOW)
        rows = [await row_of(ledger, id_) for id_ in held]
        assert {(r["status"], r["attempts"], r["sequence"]) for r in rows} == {
            ("queued", 0, 2)
        }
        assert (info.num_pending, info.num_ack_pending) == (5, 0)
        assert info.delivered is not None
        assert info.delivered.consumer_seq == 0
        assert shows_paused(one, Priority.LOW)
        assert shows_paused(one, Priority.HIGH, 0)
        await one.service.readiness.ask()
        assert not await one.service.readiness.missing()
        begun = time.monotonic()
        await clear_control(bus, SMS_LOW)
        await until(lambda: have_status(ledger, held, "delivered"))
        assert time.monotonic() - begun < 4


async def test_what_is_claimed_of_a_lane_and_not_yet_sent_goes_back_when_it_is_paused(
    ledger: Ledger,
    bus: Bus,
    settings: MeshSettings,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_TIMEOUT_SECONDS", "60")
    gate = endpoint.answer = Gate()
    low = await seed_notifications(ledger, bus, 12, priority=Priority.LOW)
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_concurrency=4)

    async def of_status(status: str) -> list[dict[str, Any]]:
        rows = [await row_of(ledger, id_) for id_ in low]
        return [row for row in rows if row["status"] == status]

    async def are_claimed_ahead() -> bool:
        return len(await of_status("processing")) > 4 + 2

    async def are_back() -> bool:
        return len(await of_status("queued")) == 8

    async with running_dispatcher(ours):
        await until(lambda: endpoint.in_flight == 4)
        await until(are_claimed_ahead)
        normal = await seed_notifications(ledger, bus, 2)
        await set_control(bus, SMS_LOW, pause())
        await until(are_back)
        assert {row["attempts"] for row in await of_status("queued")} == {0}
        gate.opened.set()
        await until(lambda: have_status(ledger, normal, "delivered"))
        await until(lambda: endpoint.in_flight == 0)
        assert len(endpoint.received) == 4 + 2
        await clear_control(bus, SMS_LOW)
        await until(lambda: have_status(ledger, low, "delivered"))
        assert {(await row_of(ledger, id_))["attempts"] for id_ in low} == {1}


async def test_a_paused_channel_pulls_none_of_its_lanes(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    await set_control(bus, SMS, pause())
    ids = await seed_notifications(ledger, bus, 3)
    other = await seed_notifications(ledger, bus, 3, channel=Channel.EMAIL)
    ours = dispatcher_settings(settings, endpoint.url)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: shows_paused(dispatcher, Priority.NORMAL))
        await until(lambda: have_status(ledger, other, "delivered"))
        await until(lambda: is_pulled(bus, Priority.NORMAL, 0))
        before = len(endpoint.received)
        more = await seed_notifications(ledger, bus, 3)
        again = await seed_notifications(ledger, bus, 3, channel=Channel.EMAIL)
        await until(lambda: have_status(ledger, again, "delivered"))
        assert len(endpoint.received) == before + 3
        assert await have_status(ledger, more, "queued")
        await clear_control(bus, SMS)
        await until(lambda: have_status(ledger, [*ids, *more], "delivered"))


async def test_a_limit_changes_on_all_dispatchers_within_a_second(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    key = controls.channel_rate_key(Channel.SMS)
    await seed_notifications(ledger, bus, 600)
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=5)

    async def limit(per_second: float) -> None:
        at = datetime.now(UTC)
        await set_control(bus, key, RateLimit(by="me", at=at, per_second=per_second))

    async with running_dispatcher(ours), running_dispatcher(ours, "two"):
        await until(lambda: len(endpoint.received) >= 3)
        await limit(100)
        begun = time.monotonic()
        await until(lambda: len(endpoint.received) >= 60)
        assert 0.3 < time.monotonic() - begun < 3
        await limit(0)
        begun = time.monotonic()
        await until(lambda: len(endpoint.received) == 600)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("key", "before"),
    [
        (controls.channel_rate_key(Channel.SMS), 0),
        (controls.channel_rate_key(Channel.SMS), 2000),
        (controls.provider_rate_key("webhook"), 2000),
    ],
)
async def test_a_limit_that_is_lowered_lets_nothing_through_of_before(
    ledger: Ledger,
    bus: Bus,
    settings: MeshSettings,
    endpoint: Endpoint,
    key: str,
    before: float,
) -> None:
    ours = dispatcher_settings(settings, endpoint.url)

    async def limit(per_second: float) -> None:
        at = datetime.now(UTC)
        await set_control(bus, key, RateLimit(by="me", at=at, per_second=per_second))

    async with running_dispatcher(ours) as dispatcher:

        async def goes_by(per_second: float) -> bool:
            state = await dispatcher.service.heartbeat.state()
            [provider] = state.providers
            return per_second in {*state.limits.values(), provider.rate_limit}

        await limit(before)
        await until(lambda: goes_by(before))
        ids = await seed_notifications(ledger, bus, 600)
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=20)
        await limit(2)
        await until(lambda: goes_by(2))
        begun, sent = time.monotonic(), len(endpoint.received)
        await seed_notifications(ledger, bus, 300)
        await until(lambda: len(endpoint.received) > sent)
        await until(lambda: time.monotonic() - begun > 3)
        let_through = len(endpoint.received) - sent
        elapsed = time.monotonic() - begun

    # A burst, what the rate brings, and one for each pull that stood open.
    assert let_through <= 3 + 2 * elapsed + len(Priority)


async def test_a_provider_held_open_gets_nothing_until_it_is_let_go(
    ledger: Ledger, bus: Bus, settings: MeshSettings, endpoint: Endpoint
) -> None:
    key = controls.breaker_key("webhook")
    at = datetime.now(UTC)
    await set_control(
        bus, key, BreakerOverride(by="me", at=at, order=BreakerOrder.OPEN)
    )
    ours = dispatcher_settings(settings, endpoint.url)
    async with running_dispatcher(ours) as dispatcher:
        registry = dispatcher.service.registry

        def state() -> float | None:
            labels = {"provider": "webhook"}
            return registry.get_sample_value("tocsin_breaker_state", labels)

        await until(lambda: state() == 2)
        await until(lambda: is_pulled(bus, Priority.NORMAL, 0))
        ids = await seed_notifications(ledger, bus, 5)
        [reading] = (await dispatcher.service.heartbeat.state()).providers
        assert (reading.name, reading.breaker, reading.forced) == (
            *("webhook", "open", True),
        )
        assert (await consumer(bus)).num_pending == 5
        await clear_control(bus, key)
        await until(lambda: have_status(ledger, ids, "delivered"))
        assert state() == 0
    assert {(await row_of(ledger, id_))["attempts"] for id_ in ids} == {1}
