"""Drills of what holds lanes up: providers, limits and people."""

from collections.abc import Awaitable, Callable

import pytest

from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel, Priority
from contracts.mesh import ServiceState
from ops import client
from tests.acceptance.drills.drill import drilling
from tests.acceptance.mesh import Mesh

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

#: How the lane's row begins, which no line of the feed does.
HIGH_SMS = ("sms", "↑ high")

SMS = {"channel": "sms", "recipient": "+15555550001", "content": "hello"}
PUSH = {"channel": "push", "recipient": "device-1", "content": "hello"}
EMAIL = {"channel": "email", "recipient": "a@example.com", "content": "hello"}

Order = Awaitable[object]
Record = Callable[[str, object], None]


async def test_a_provider_that_refuses_is_seen_and_probed_when_it_is_well(
    shared: Mesh, record_property: Record
) -> None:
    """Its next probe of its own is two minutes away."""
    async with drilling(
        shared, record_property, number=1, fault="provider down: it refuses all"
    ) as drill:
        await shared.behave(mode="transient")
        batch_id = await shared.create_batch(
            [{**SMS, "priority": "high", "max_attempts": 10}] * 60
        )
        effect_at = await drill.witness.breaker(is_open)
        await drill.seen(
            *HIGH_SMS,
            "open",
            effect_at=effect_at,
            by="Lanes: breaker `open` on every lane of the provider",
        )
        await shared.behave(mode="accept")

        await drill.press("5", "down", "B")
        await drill.shown("Probe webhook now")
        await drill.answer("it is well again", "webhook")
        await shared.batches_are([batch_id], "delivered", within=60)
        await drill.shown("webhook", "closed")
        assert drill.witness.breakers[-1].obeyed is not None


async def test_a_provider_that_is_slow_is_seen_and_left_for_the_other(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=2, fault="provider slow: 2.5 s each"
    ) as drill:
        await shared.behave(latency_ms=2500, channel="push")
        slow = await shared.create_batch([PUSH] * 30)
        effect_at = await drill.witness.state(is_slow)
        await drill.seen(
            *("push", "  normal", "3.1s"),
            effect_at=effect_at,
            by="Lanes: p95 in yellow",
            ink="warn",
        )

        await drill.press("5", "down", "B")
        await drill.shown("Hold webhook open")
        await drill.answer("too slow", "webhook")
        await drill.shown("webhook", "held open")
        others = await shared.create_batch([{**PUSH, "content": "later"}] * 30)
        await shared.batches_are([slow, others], "delivered", within=60)
        received = await shared.received()
        assert "later" not in {message["content"] for message in received}


async def test_a_limit_that_is_too_low_is_seen_and_raised(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=3, fault="rate limit saturated"
    ) as drill:
        await elsewhere(shared, limit_email)
        await drill.shown("email limit 5/s", "bob")
        batch_id = await shared.create_batch([EMAIL] * 400)
        effect_at = await drill.witness.state(waits_for_tokens)
        await drill.seen(
            *("email", "normal", "at limit"),
            effect_at=effect_at,
            by="Lanes: `at limit`, and below by whom",
        )

        await drill.press("down", "down", "down", "L")
        await drill.shown("Limit email")
        await drill.answer("500", "they pay for more", "email")
        await shared.batches_are([batch_id], "delivered", within=40)


async def test_a_lane_that_somebody_paused_is_seen_and_resumed(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=4, fault="one lane starved: paused by somebody"
    ) as drill:
        await elsewhere(shared, pause_high_sms)
        effect_at = await drill.witness.state(holds_high_sms)
        ids = [await shared.create(priority="high") for _ in range(3)]
        await drill.seen(
            *HIGH_SMS,
            "paused",
            effect_at=effect_at,
            by="Lanes: `paused`, and below by whom",
        )
        await drill.shown("paused", "bob", "a try")

        await drill.press("P")
        await drill.shown("Resume sms/high")
        await drill.press("y")
        for id_ in ids:
            await shared.status_is(id_, "delivered", within=30)
        await drill.gone(*HIGH_SMS, "paused")


async def elsewhere(mesh: Mesh, act: Callable[[client.Operator], Order]) -> None:
    """Have somebody else do something, who is not at the console."""
    async with client.open_gateway(mesh.addresses["gateway"], None) as gateway:
        await act(client.Operator(gateway, "bob"))


def pause_high_sms(bob: client.Operator) -> Order:
    return bob.pause(Channel.SMS, Priority.HIGH, reason="a try")


def limit_email(bob: client.Operator) -> Order:
    return bob.limit_channel(Channel.EMAIL, 5, reason="a try")


def is_open(state: BreakerState) -> bool:
    return state.condition is BreakerCondition.OPEN


def is_slow(state: ServiceState) -> bool:
    return any(lane.latency_p95_seconds > 2 for lane in state.lanes)


def waits_for_tokens(state: ServiceState) -> bool:
    return state.throttled_seconds.get(Channel.EMAIL, 0.0) > 0


def holds_high_sms(state: ServiceState) -> bool:
    return any(
        lane.paused
        for lane in state.lanes
        if (lane.channel, lane.priority) == (Channel.SMS, Priority.HIGH)
    )
