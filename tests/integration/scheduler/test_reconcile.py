import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from contracts import messages, subjects, topology
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.outbox import Outbox
from scheduler.publisher import Publisher
from scheduler.reconcile import Reconcile
from scheduler.rows import Why
from scheduler.shape import Shape
from scheduler.store import Store
from scheduler.stream import StreamMissing
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import (
    DEAD_DISPATCHER,
    LEASED,
    PARKED,
    add_group,
    column,
    count,
    ids_on_bus,
    notification_in,
    shape,
    stored,
    take,
    tally,
    trace,
)
from tests.servers import Nats
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)
AN_HOUR_AGO = "queued_at = now() - interval '1 hour'"

MakeReconcile = Callable[[float], Reconcile]


@pytest.fixture
def make_reconcile(
    bus: Bus, store: Store, publisher: Publisher, metrics: Metrics
) -> MakeReconcile:
    def make(margin_seconds: float) -> Reconcile:
        return Reconcile(
            bus,
            store,
            publisher,
            metrics,
            asyncio.Event(),
            margin_seconds=margin_seconds,
        )

    return make


@pytest.fixture
def reconcile(make_reconcile: MakeReconcile) -> Reconcile:
    return make_reconcile(10.0)


def repaired(registry: CollectorRegistry) -> dict[str, float]:
    counts = {
        str(why): registry.get_sample_value(
            "tocsin_scheduler_reconcile_repaired_total", {"why": why}
        )
        for why in Why
    }
    return {why: number for why, number in counts.items() if number}


async def test_a_purged_stream_is_rebuilt_completely(
    reconcile: Reconcile, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    ids = []
    for lane in LANES[:5]:
        ids += await seed_notifications(
            ledger, bus, 1_000, channel=lane.channel, priority=lane.priority
        )
    queued, dead, overdue = ids[:4_000], ids[4_000:4_500], ids[4_500:]
    await shape(ledger, dead, DEAD_DISPATCHER)
    await shape(
        ledger,
        overdue,
        "status = 'retrying', sequence = 4, next_retry_at = now() - interval '20 seconds'",
    )
    await shape(ledger, ids, AN_HOUR_AGO)
    await bus.js.purge_stream(topology.NOTIFY.name)

    await reconcile.step()

    taken = [m for lane in LANES[:5] for m in await take(bus, lane, 1_000)]
    assert await stored(bus) == 5_000
    assert Counter(notification_in(m) for m in taken) == dict.fromkeys(ids, 1)
    assert await tally(ledger, "(status, sequence)", queued) == {("queued", 3): 4_000}
    assert await tally(ledger, "(status, sequence)", dead) == {("queued", 4): 500}
    assert await tally(ledger, "(status, sequence)", overdue) == {("retrying", 5): 500}
    assert repaired(registry) == {
        "message_lost": 4_000,
        "lease_expired": 500,
        "retry_overdue": 500,
    }
    assert (
        registry.get_sample_value("tocsin_scheduler_reconcile_scanned_total") == 5_000
    )
    assert await count(ledger, "outbox_group") == 0

    await reconcile.step()
    assert sum(repaired(registry).values()) == 5_000, "once is enough"


async def test_what_was_requeued_says_so_and_breaks_the_old_fence(
    reconcile: Reconcile, ledger: Ledger, bus: Bus
):
    heard = await bus.nc.subscribe(subjects.STATUS_ALL)
    lost, dead = await seed_notifications(ledger, None, 2)
    await shape(ledger, [dead], DEAD_DISPATCHER)
    await shape(ledger, [lost, dead], AN_HOUR_AGO)

    await reconcile.step()

    assert await trace(ledger, lost) == ["created", "queued", "requeued"]
    rows = await ledger.fetch(
        "SELECT sequence, details::text FROM notification_event"
        " WHERE event = 'requeued' ORDER BY notification_id"
    )
    assert [tuple(row) for row in rows] == [
        (3, '{"was": "queued", "why": "message_lost"}'),
        (4, '{"was": "processing", "why": "lease_expired"}'),
    ]
    assert await column(ledger, "lease_owner", [dead]) == [None]
    assert await column(ledger, "lost_leases", [lost, dead]) == [0, 1]
    taken = await take(bus, LANE, 2)
    assert sorted(m.headers[messages.MESSAGE_ID_HEADER] for m in taken) == sorted(
        [f"{lost}:3", f"{dead}:4"]
    )
    change = messages.decode((await heard.next_msg(1)).data)
    assert isinstance(change, StatusChanged)
    assert (change.notification_id, change.status) == (dead, Status.QUEUED)
    assert heard.pending_msgs == 0, "a status that did not change is not announced"


async def test_a_healthy_backlog_of_any_age_is_left_alone(
    make_reconcile: MakeReconcile,
    ledger: Ledger,
    bus: Bus,
    registry: CollectorRegistry,
):
    """Its oldest messages are many times the margin old, and thousands wait behind them."""
    reconcile = make_reconcile(0.1)
    ids = []
    for _ in range(6):
        ids += await seed_notifications(ledger, bus, 500)
        await asyncio.sleep(0.1)  # the backlog grows over several margins
    await shape(ledger, ids[:50], DEAD_DISPATCHER)
    [oldest] = await ledger.fetch(
        "SELECT now() - min(queued_at) AS age FROM notification"
    )
    assert oldest["age"] > timedelta(seconds=0.5)

    await reconcile.step()

    assert repaired(registry) == {}
    assert await stored(bus) == 3_000
    assert await tally(ledger, "sequence", ids[50:]) == {2: 2_950}


async def test_what_the_front_of_a_lane_has_lost_is_found_and_the_rest_left_alone(
    make_reconcile: MakeReconcile,
    ledger: Ledger,
    bus: Bus,
    registry: CollectorRegistry,
):
    reconcile = make_reconcile(0.1)
    lost = await seed_notifications(ledger, bus, 300)
    await asyncio.sleep(0.3)  # more than the margin lies between the two
    kept = await seed_notifications(ledger, bus, 300)
    await bus.js.purge_stream(topology.NOTIFY.name, seq=301)
    assert await stored(bus) == 300

    await reconcile.step()

    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(lost + kept, 1)
    assert await tally(ledger, "sequence", kept) == {2: 300}
    assert repaired(registry) == {"message_lost": 300}


async def test_what_is_still_in_the_outbox_is_not_lost(
    reconcile: Reconcile, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    ids = await seed_notifications(ledger, None, 100)
    await shape(ledger, ids, "queued_at = now() - interval '60 seconds'")
    await add_group(ledger, ids, age_seconds=60)

    await reconcile.step()

    assert repaired(registry) == {}
    assert await stored(bus) == 0


async def test_a_group_that_reached_the_bus_late_is_not_lost(
    make_reconcile: MakeReconcile,
    ledger: Ledger,
    bus: Bus,
    store: Store,
    publisher: Publisher,
    metrics: Metrics,
    registry: CollectorRegistry,
):
    """The bus was away for an hour: its messages are younger than their rows by as much."""
    punctual = await seed_notifications(ledger, bus, 10)
    late = await seed_notifications(ledger, None, 100)
    await shape(ledger, late, AN_HOUR_AGO)
    await add_group(ledger, late, age_seconds=3_600)
    await Outbox(store, publisher, metrics, late_seconds=5.0).step()

    await make_reconcile(10.0).step()

    assert repaired(registry) == {}
    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(punctual + late, 1)


async def test_a_backlog_stamped_by_a_clock_that_is_behind_is_left_alone(
    reconcile: Reconcile, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    ids = await seed_notifications(ledger, bus, 100)
    await shape(ledger, ids, AN_HOUR_AGO)

    await reconcile.step()

    assert repaired(registry) == {}
    assert await stored(bus) == 100


async def test_live_leases_short_waits_and_parked_retries_are_left_alone(
    reconcile: Reconcile, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    leased, waiting, parked = await seed_notifications(ledger, None, 3)
    await shape(ledger, [leased], LEASED, AN_HOUR_AGO)
    await shape(
        ledger,
        [waiting],
        "status = 'retrying', next_retry_at = now() + interval '5 seconds'",
        AN_HOUR_AGO,
    )
    await shape(ledger, [parked], PARKED, "due_at = now() + interval '1 hour'")

    await reconcile.step()

    assert repaired(registry) == {}
    assert await stored(bus) == 0


async def test_a_row_that_moved_since_it_was_seen_is_left_alone(
    ledger: Ledger, store: Store
):
    [id_] = await seed_notifications(ledger, None, 1)
    await shape(ledger, [id_], LEASED)

    too_late = await store.requeue([(id_, 2, Why.MESSAGE_LOST)])
    alive = await store.requeue([(id_, 3, Why.LEASE_EXPIRED)])

    assert (too_late.why, alive.why) == ([], [])
    assert await column(ledger, "(status, sequence)", [id_]) == [("processing", 3)]
    assert await count(ledger, "outbox_group") == 0


async def test_nothing_changes_while_the_bus_does_not_answer(
    reconcile: Reconcile, ledger: Ledger, bus: Bus, nats_server: Nats
):
    ids = await seed_notifications(ledger, None, 10)
    await shape(ledger, ids, AN_HOUR_AGO)
    await nats_server.server.stop()
    await until(lambda: not bus.nc.is_connected)

    with pytest.raises(BusUnavailable):
        await reconcile.step()

    assert await tally(ledger, "(status, sequence)", ids) == {("queued", 2): 10}


async def test_a_deleted_stream_is_made_again_and_filled(
    reconcile: Reconcile, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, bus, 20)
    await shape(ledger, ids, AN_HOUR_AGO)
    streams = Shape(bus, replicas=1)
    await streams.step()
    await bus.js.delete_stream(topology.NOTIFY.name)

    with pytest.raises(StreamMissing):
        await reconcile.step()
    assert await tally(ledger, "sequence", ids) == {2: 20}

    await streams.step()
    await reconcile.step()
    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(ids, 1)
    assert len(await take(bus, LANE, 20)) == 20, "its consumers are back too"


async def test_what_the_bus_would_not_take_again_is_left_to_the_outbox(
    reconcile: Reconcile, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 10)
    await shape(ledger, ids, AN_HOUR_AGO)
    config = (await bus.js.stream_info(topology.NOTIFY.name)).config
    config.max_bytes = 1
    await bus.js.update_stream(config)

    with pytest.raises(BusUnavailable):
        await reconcile.step()

    assert await tally(ledger, "sequence", ids) == {3: 10}
    assert await count(ledger, "outbox_group") == 1
