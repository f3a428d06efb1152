"""What becomes of notifications when a dispatcher meets a provider's endpoint."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from contracts import subjects
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from contracts.messages import StatusChanged
from dispatcher.settings import DispatcherSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import Endpoint, Gate, Reply
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dead_letters,
    details_of,
    have_status,
    messages_on_bus,
    row_of,
    running_dispatcher,
    trace_of,
)
from tests.integration.factories import publish_queued, seed_notifications
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)


def count(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def test_a_notification_is_delivered_and_its_trace_tells_the_way(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: have_status(ledger, [id_], "delivered"))
        await until(lambda: bus_is_empty(bus))
        attempts = count(
            dispatcher.service.registry,
            "tocsin_attempts_total",
            channel="sms",
            priority="normal",
            outcome="delivered",
        )

    assert attempts == 1
    assert await trace_of(ledger, id_) == [
        "created",
        "queued",
        "processing",
        "delivered",
    ]
    [details] = await details_of(ledger, id_, "delivered")
    assert details.pop("duration_ms") >= 0
    assert details == {
        "attempt": 1,
        "outcome": "delivered",
        "provider": "webhook",
        "code": "202",
    }
    row = await row_of(ledger, id_)
    assert (row["sequence"], row["attempts"]) == (4, 1)
    assert (row["provider"], row["provider_message_id"]) == ("webhook", "m-1")
    assert row["delivered_at"] is not None
    assert row["lease_until"] is row["lease_owner"] is row["queued_at"] is None


async def test_the_endpoint_gets_the_webhook_contract(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    [id_] = await seed_notifications(
        ledger, bus, 1, channel=Channel.EMAIL, correlation_id="corr-7"
    )
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    caller = f"00-{trace_id}-00f067aa0ba902b7-01"
    await ledger.fetch("UPDATE notification SET traceparent = $1", caller)
    async with running_dispatcher(ours):
        await until(lambda: endpoint.received)

    [received] = endpoint.received
    assert received.body == {
        "to": "someone@example.com",
        "channel": "email",
        "content": "The kettle is on.",
    }
    assert received.headers["Idempotency-Key"] == str(id_)
    assert received.headers["X-Correlation-ID"] == "corr-7"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["traceparent"].startswith(f"00-{trace_id}-")
    assert received.headers["traceparent"] != caller


async def test_every_status_is_announced_in_order(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings
) -> None:
    heard: list[StatusChanged] = []

    async def hear(msg: Msg) -> None:
        heard.append(msgspec.json.decode(msg.data, type=StatusChanged))
        assert msg.subject == subjects.status(
            "default", Channel.SMS, heard[-1].status, heard[-1].notification_id
        )

    await bus.nc.subscribe(subjects.STATUS_ALL, cb=hear)
    await bus.nc.flush()
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: len(heard) == 2)

    assert [(h.notification_id, h.status, h.sequence) for h in heard] == [
        (id_, "processing", 3),
        (id_, "delivered", 4),
    ]
    assert heard[1].provider == "webhook"
    assert heard[1].at > heard[0].at


async def test_the_heartbeat_tells_how_a_provider_answered_and_how_fast(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    answers = {1: Reply(503), 2: Reply(429), 3: Reply(202)}
    endpoint.answer = lambda received: answers[received.attempt]
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: have_status(ledger, [id_], "delivered"))
        state = await dispatcher.service.heartbeat.state()

    [provider] = state.providers
    assert (provider.attempts, provider.failed, provider.throttled) == (3, 1, 1)
    latencies = {
        (lane.channel, lane.priority): lane.latency_p95_seconds for lane in state.lanes
    }
    assert [lane for lane, seconds in latencies.items() if seconds] == [tuple(LANE)]
    assert set(state.throttled_seconds) == set(Channel)


async def test_an_expired_notification_fails_and_is_never_sent(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    [id_] = await seed_notifications(ledger, bus, 1, expires_at=past)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))
        await until(lambda: bus_is_empty(bus))

    assert endpoint.received == []
    assert await trace_of(ledger, id_) == ["created", "queued", "failed"]
    row = await row_of(ledger, id_)
    assert (row["attempts"], row["failure_class"]) == (0, "expired")
    [letter] = await dead_letters(ledger)
    assert letter["failure_class"] == "expired"


async def test_a_cancelled_notification_is_not_sent(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    [id_] = await seed_notifications(ledger, bus, 1)
    await ledger.fetch(
        "UPDATE notification SET status = 'cancelled', queued_at = NULL WHERE id = $1",
        id_,
    )
    async with running_dispatcher(ours):
        await until(lambda: bus_is_empty(bus))

    assert endpoint.received == []


async def test_a_message_without_a_notification_is_ended(
    bus: Bus, ledger: Ledger, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    stranger = new_id()
    await publish_queued(bus, LANE, [stranger])
    await bus.js.publish(subjects.notify(LANE), b"{}")
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: bus_is_empty(bus))

    assert endpoint.keys == [str(id_)]
    assert await have_status(ledger, [id_], "delivered")


async def test_two_messages_for_one_notification_make_one_call(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    ids = await seed_notifications(ledger, bus, 20)
    await publish_queued(bus, LANE, ids, sequence=99)

    assert await messages_on_bus(bus) == 40
    brief = ours.model_copy(update={"dispatcher_lease_seconds": 1.0})
    async with running_dispatcher(brief):
        await until(lambda: have_status(ledger, ids, "delivered"))
        # the second messages were put back, to come again when the first have settled
        await until(lambda: bus_is_empty(bus), 15)

    assert sorted(endpoint.keys) == sorted(map(str, ids))


async def test_thousands_of_all_channels_and_priorities_are_delivered_once(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    ids = [
        id_
        for channel in Channel
        for priority in Priority
        for id_ in await seed_notifications(
            *(ledger, bus, 250), channel=channel, priority=priority
        )
    ]
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=30)
        await until(lambda: bus_is_empty(bus))

    assert sorted(endpoint.keys) == sorted(map(str, ids))


async def test_what_expires_while_it_waits_for_its_send_is_not_sent(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    ours = ours.model_copy(update={"dispatcher_concurrency": 4})
    async with running_dispatcher(ours):
        ids = await seed_notifications(ledger, bus, 4)
        await until(lambda: endpoint.in_flight == 4)
        expires_at = datetime.now(UTC) + timedelta(seconds=3)
        [late] = await seed_notifications(ledger, bus, 1, expires_at=expires_at)
        await until(lambda: have_status(ledger, [late], "processing"))
        await until(lambda: datetime.now(UTC) > expires_at)
        gate.opened.set()
        await until(lambda: have_status(ledger, [late], "failed"))
        await until(lambda: have_status(ledger, ids, "delivered"))

    row = await row_of(ledger, late)
    assert (row["failure_class"], row["attempts"]) == ("expired", 0)
    assert str(late) not in endpoint.keys


@pytest.mark.parametrize("size", [1, 7])
async def test_small_groups_drain_a_lane_too(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint, size: int
) -> None:
    ids = await seed_notifications(ledger, bus, 60)
    ours = ours.model_copy(update={"dispatcher_group_at_most": size})
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=20)

    assert len(endpoint.received) == len(ids)
