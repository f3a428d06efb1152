import nats.errors
import pytest
from prometheus_client import CollectorRegistry

from contracts import messages, subjects
from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.outbox import Outbox
from scheduler.publisher import Publisher
from scheduler.store import Store
from tests.integration.factories import publish_queued, seed_notifications
from tests.integration.scheduler.seeds import (
    LEASED,
    PARKED,
    add_group,
    count,
    ids_on_bus,
    shape,
    stored,
    take,
    tally,
)
from tests.servers import Nats
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)


@pytest.fixture
def outbox(store: Store, publisher: Publisher, metrics: Metrics) -> Outbox:
    return Outbox(store, publisher, metrics, late_seconds=5.0)


async def test_a_group_published_in_part_is_completed_and_each_queueing_stored_once(
    outbox: Outbox, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    ids = await seed_notifications(ledger, None, 600)
    await publish_queued(bus, LANE, ids[:250])
    await add_group(ledger, ids)

    await outbox.step()

    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(ids, 1)
    assert await count(ledger, "outbox_group") == 0
    assert _republished(registry) == (1, 600)


async def test_the_message_is_the_one_the_gateway_would_have_sent(
    outbox: Outbox, ledger: Ledger, bus: Bus
):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    [id_] = await seed_notifications(ledger, None, 1, correlation_id="corr-7")
    await shape(ledger, [id_], f"traceparent = '{parent}'")
    await add_group(ledger, [id_])

    await outbox.step()

    [message] = await take(bus, LANE, 1)
    assert message.headers == {
        messages.MESSAGE_ID_HEADER: f"{id_}:2",
        messages.CORRELATION_HEADER: "corr-7",
        messages.TRACEPARENT_HEADER: parent,
    }


async def test_a_young_group_is_left_to_its_publisher(
    outbox: Outbox, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 3)
    await add_group(ledger, ids, age_seconds=1)

    assert (await outbox.step()).pause_seconds is None

    assert await stored(bus) == 0
    assert await count(ledger, "outbox_group") == 1


async def test_what_was_claimed_parked_or_finished_since_is_not_published_again(
    outbox: Outbox, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 5)
    leased, parked, delivered, waiting, released = ids
    await shape(ledger, [leased], LEASED)
    await shape(ledger, [parked], PARKED, "due_at = now() + interval '10 minutes'")
    await shape(ledger, [delivered], "status = 'delivered', queued_at = NULL")
    # A short wait: the message was claimed and put back, and is on the bus.
    await shape(
        ledger,
        [waiting],
        "status = 'retrying', sequence = 4, next_retry_at = now() + interval '5 seconds'",
        "updated_at = clock_timestamp()",
    )
    await shape(ledger, [released], PARKED, "due_at = now()")
    await shape(
        ledger, [released], "due_at = NULL, queued_at = now(), updated_at = now()"
    )
    await add_group(ledger, ids)

    await outbox.step()

    assert await ids_on_bus(bus, [LANE]) == {released: 1}
    assert await count(ledger, "outbox_group") == 0


async def test_rows_of_a_late_group_count_as_queued_when_the_bus_has_them(
    outbox: Outbox, ledger: Ledger, bus: Bus
):
    """Or the reconciliation would take them for older than the lane's oldest message."""
    ids = await seed_notifications(ledger, None, 3)
    await shape(ledger, ids, "queued_at = now() - interval '1 hour'")
    await add_group(ledger, ids)

    await outbox.step()

    assert await tally(ledger, "queued_at > now() - interval '1 minute'", ids) == {
        True: 3
    }


async def test_a_group_that_cannot_be_published_keeps_none_of_the_others_waiting(
    outbox: Outbox,
    ledger: Ledger,
    bus: Bus,
    store: Store,
    registry: CollectorRegistry,
):
    """More of them than are looked at at once, and the oldest."""
    bad = await seed_notifications(ledger, None, 25, correlation_id="two\nlines")
    good = await seed_notifications(ledger, None, 3)
    await shape(ledger, bad + good, "queued_at = now() - interval '1 minute'")
    for id_ in bad + good:
        await add_group(ledger, [id_])

    await outbox.step()
    await outbox.step()

    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(good, 1)
    assert await count(ledger, "outbox_group") == len(bad)
    put_back = "tocsin_scheduler_outbox_groups_put_back_total"
    assert registry.get_sample_value(put_back) == len(bad)
    assert (await store.late_groups(30.0, 20)).groups == [], "each later, not at once"
    fresh = "queued_at > now() - interval '50 seconds'"
    assert await tally(ledger, fresh, bad) == {True: len(bad)}, "none is lost"

    await shape(ledger, bad, "correlation_id = 'one line'")
    await ledger.fetch("UPDATE outbox_group SET created_at = now() - interval '1 hour'")
    while (await outbox.step()).pause_seconds == 0:
        pass
    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(bad + good, 1)


@pytest.mark.parametrize(("late_seconds", "anew"), [(0.0, True), (60.0, False)])
async def test_what_took_long_to_publish_counts_as_queued_when_the_bus_had_it(
    bus: Bus,
    store: Store,
    metrics: Metrics,
    ledger: Ledger,
    late_seconds: float,
    anew: bool,
):
    ids = await seed_notifications(ledger, None, 3)
    await shape(ledger, ids, "queued_at = now() - interval '1 hour'")
    await add_group(ledger, ids)
    [group] = (await store.late_groups(5.0, 20)).groups
    publisher = Publisher(bus, store, metrics, late_seconds=late_seconds)

    await publisher.queue(group)

    fresh = "queued_at > now() - interval '1 minute'"
    assert await tally(ledger, fresh, ids) == {anew: 3}
    assert await count(ledger, "outbox_group") == 0


async def test_groups_wait_for_the_bus_and_go_out_when_it_returns(
    outbox: Outbox, ledger: Ledger, bus: Bus, nats_server: Nats
):
    ids = await seed_notifications(ledger, None, 40)
    for id_ in ids:
        await add_group(ledger, [id_])
    await nats_server.server.stop()
    await until(lambda: not bus.nc.is_connected)

    with pytest.raises(BusUnavailable):
        await outbox.step()
    assert await count(ledger, "outbox_group") == 40

    await nats_server.server.start()
    await until(lambda: bus.nc.is_connected)
    await until(lambda: _drained(outbox, ledger))
    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(ids, 1)


async def _drained(outbox: Outbox, ledger: Ledger) -> bool:
    try:
        await outbox.step()
    except (BusUnavailable, nats.errors.Error):
        return False
    return await count(ledger, "outbox_group") == 0


def _republished(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    return (
        registry.get_sample_value("tocsin_scheduler_outbox_groups_republished_total"),
        registry.get_sample_value(
            "tocsin_scheduler_outbox_notifications_republished_total"
        ),
    )


async def test_what_a_dead_gateway_never_told_is_told(
    outbox: Outbox, ledger: Ledger, bus: Bus
):
    queued, parked = await seed_notifications(ledger, None, 2)
    await shape(ledger, [parked], "status = 'retrying', updated_at = queued_at")
    await add_group(ledger, [queued, parked])
    told = await bus.nc.subscribe(subjects.STATUS_ALL)

    await outbox.step()

    change = messages.decode((await told.next_msg(timeout=5)).data)
    assert isinstance(change, messages.StatusChanged)
    assert change.notification_id == queued
    assert (change.status, change.sequence) == (Status.QUEUED, 2)
    assert told.pending_msgs == 0
