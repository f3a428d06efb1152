import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from contracts import messages, subjects
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.release import Release
from scheduler.store import STATEMENTS, Store
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import (
    DUE,
    PARKED,
    PENDING,
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


MakeRelease = Callable[[int], Release]


@pytest.fixture
def make_release(
    bus: Bus, store: Store, publisher: Publisher, metrics: Metrics
) -> MakeRelease:
    def make(page: int) -> Release:
        return Release(bus, store, publisher, metrics, page=page, poll_seconds=0.25)

    return make


@pytest.fixture
def release(make_release: MakeRelease) -> Release:
    return make_release(500)


async def test_what_is_due_is_queued_published_traced_and_announced(
    release: Release, ledger: Ledger, bus: Bus
):
    heard = await bus.nc.subscribe(subjects.STATUS_ALL)
    [id_] = await seed_notifications(ledger, None, 1)
    await shape(ledger, [id_], PENDING, DUE)

    await release.step()

    assert await ids_on_bus(bus) == {id_: 1}
    assert await tally(ledger, "status", [id_]) == {"queued": 1}
    assert await tally(ledger, "due_at IS NULL AND queued_at IS NOT NULL", [id_]) == {
        True: 1
    }
    assert await trace(ledger, id_) == ["created", "queued", "queued"]
    assert await count(ledger, "outbox_group") == 0
    change = messages.decode((await heard.next_msg(1)).data)
    assert isinstance(change, StatusChanged)
    assert (change.notification_id, change.status, change.sequence) == (
        id_,
        Status.QUEUED,
        3,
    )


async def test_a_parked_retry_goes_back_without_a_new_status(
    release: Release, ledger: Ledger, bus: Bus
):
    heard = await bus.nc.subscribe(subjects.STATUS_ALL)
    [id_] = await seed_notifications(ledger, None, 1)
    await shape(ledger, [id_], PARKED, DUE)

    await release.step()

    [message] = await take(bus, LANE, 1)
    assert message.headers[messages.MESSAGE_ID_HEADER] == f"{id_}:4"
    assert message.headers[messages.CORRELATION_HEADER] == "corr-seeded"
    assert await column(ledger, "(status, sequence)", [id_]) == [("retrying", 4)]
    assert await trace(ledger, id_) == ["created", "queued"]
    await bus.nc.flush()
    assert heard.pending_msgs == 0


async def test_the_trace_context_travels_with_the_message(
    release: Release, ledger: Ledger, bus: Bus
):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    [id_] = await seed_notifications(ledger, None, 1)
    await shape(ledger, [id_], PENDING, DUE, f"traceparent = '{parent}'")

    await release.step()

    [message] = await take(bus, LANE, 1)
    assert message.headers[messages.TRACEPARENT_HEADER] == parent


async def test_what_is_not_due_or_cancelled_stays(
    release: Release, ledger: Ledger, bus: Bus
):
    later, cancelled = await seed_notifications(ledger, None, 2)
    await shape(ledger, [later], PENDING, "due_at = now() + interval '1 hour'")
    await shape(
        ledger, [cancelled], "status = 'cancelled', queued_at = NULL, due_at = NULL"
    )

    assert (await release.step()).pause_seconds == 0.25

    assert await stored(bus) == 0
    assert await column(ledger, "status", [later, cancelled]) == [
        "pending",
        "cancelled",
    ]


async def test_it_sleeps_no_longer_than_until_the_next_due_time(
    release: Release, ledger: Ledger, bus: Bus
):
    [id_] = await seed_notifications(ledger, None, 1)
    await shape(ledger, [id_], PENDING, "due_at = now() + interval '100 milliseconds'")

    assert 0 < ((await release.step()).pause_seconds or 0) <= 0.1


async def test_nothing_leaves_the_ledger_while_the_bus_is_away(
    release: Release, ledger: Ledger, bus: Bus, nats_server: Nats
):
    ids = await seed_notifications(ledger, None, 10)
    await shape(ledger, ids, PENDING, DUE)
    await nats_server.server.stop()
    await until(lambda: not bus.nc.is_connected)

    with pytest.raises(ConnectionError):
        await release.step()

    assert await tally(ledger, "status", ids) == {"pending": 10}


async def test_several_pages_leave_in_one_step_each_once(
    make_release: MakeRelease, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 95)
    await shape(ledger, ids, PENDING, DUE)
    release = make_release(10)

    first, second = await release.step(), await release.step()

    assert (first.scanned, first.pause_seconds) == (80, 0)
    assert (second.scanned, second.why) == (15, {"scheduled": 15, "retry": 0})
    assert await ids_on_bus(bus) == dict.fromkeys(ids, 1)
    assert await count(ledger, "outbox_group") == 0


async def test_the_page_taken_beside_one_that_could_not_be_published_is_in_the_outbox_too(
    make_release: MakeRelease, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 30)
    await shape(ledger, ids, PENDING, DUE)
    await bus.js.delete_stream("NOTIFY")

    with pytest.raises(BusUnavailable):
        await make_release(10).step()

    async def each_is_somewhere() -> bool:
        left = await tally(ledger, "status", ids)
        groups = await ledger.fetch("SELECT notification_ids FROM outbox_group")
        queued = sum(len(group["notification_ids"]) for group in groups)
        return left["queued"] == queued == 20 and left["pending"] == 10

    await until(each_is_somewhere)


async def test_a_page_that_could_not_be_published_stays_in_the_outbox(
    release: Release, ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 10)
    await shape(ledger, ids, PENDING, DUE)
    await bus.js.delete_stream("NOTIFY")

    with pytest.raises(BusUnavailable):
        await release.step()

    [group] = await ledger.fetch("SELECT notification_ids FROM outbox_group")
    assert sorted(group["notification_ids"]) == sorted(ids)
    assert await tally(ledger, "status", ids) == {"queued": 10}


async def test_two_schedulers_at_once_release_each_notification_once(
    ledger: Ledger, bus: Bus, store: Store, publisher: Publisher, metrics: Metrics
):
    ids = await seed_notifications(ledger, None, 3_000)
    await shape(ledger, ids, PENDING, DUE)
    both = [
        Release(bus, store, publisher, metrics, page=100, poll_seconds=0.25)
        for _ in range(2)
    ]

    async with running(*(one.step for one in both)):
        await until(lambda: _is(stored(bus), 3_000), 15)

    assert await tally(ledger, "(status, sequence)", ids) == {("queued", 3): 3_000}
    [events] = await ledger.fetch(
        "SELECT count(*), count(DISTINCT notification_id) AS of"
        " FROM notification_event WHERE event = 'queued' AND sequence = 3"
    )
    assert (events["count"], events["of"]) == (3_000, 3_000)
    taken = await take(bus, LANE, 4_000)
    assert Counter(notification_in(message) for message in taken) == dict.fromkeys(
        ids, 1
    )


async def _is(awaitable: Any, value: object) -> bool:
    return bool(await awaitable == value)


async def test_ten_thousand_due_within_a_second_are_on_the_bus_within_a_second_each(
    release: Release, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    """Measured from outside: the time the bus stamped on each message against its due time.

    Two hundred thousand more wait for another day.
    """
    await ledger.pool.execute(
        """
        INSERT INTO notification (id, tenant, channel, priority, status, sequence,
            max_attempts, recipient, content, correlation_id, due_at, created_at, updated_at)
        SELECT uuidv7(), 'default', 'sms', 'normal', 'pending', 1, 5, '+15555550100', 'x',
               'corr', now() + interval '1 day' + n * interval '1 second', now(), now()
          FROM generate_series(1, 200000) n
        """,
        timeout=60,
    )
    lanes = LANES[:4]
    seeded = [
        await seed_notifications(
            ledger, None, 2_500, channel=lane.channel, priority=lane.priority
        )
        for lane in lanes
    ]
    ids = [id_ for some in seeded for id_ in some]
    rng = random.Random(7)
    start = datetime.now(UTC) + timedelta(seconds=2)
    due = {id_: start + timedelta(seconds=rng.random()) for id_ in ids}
    await ledger.fetch(
        f"UPDATE notification n SET {PENDING}, due_at = d.at"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS d (id, at) WHERE n.id = d.id",
        list(due),
        list(due.values()),
    )

    async with running(release.step):
        await until(lambda: _is(stored(bus), len(ids)), 15)

    late = []
    for lane in lanes:
        for message in await take(bus, lane, 2_500):
            at = message.metadata.timestamp
            late.append((at - due[notification_in(message)]).total_seconds())
    late.sort()
    assert len(late) == len(ids)
    assert late[0] >= -0.005, "nothing is released before its time"
    assert late[int(len(late) * 0.99)] < 1.0, (
        f"p50 {late[len(late) // 2]:.3f} s, worst {late[-1]:.3f} s"
    )
    assert (
        registry.get_sample_value("tocsin_scheduler_release_lateness_seconds_count")
        == 10_000
    )


async def test_a_release_reads_only_the_index_of_due_times(ledger: Ledger):
    """With a quarter of a million waiting, and as many that are over, in two partitions."""
    await ledger.pool.execute(
        """
        INSERT INTO notification (id, tenant, channel, priority, status, sequence,
            max_attempts, recipient, content, correlation_id, due_at, created_at, updated_at)
        SELECT (left(tocsin_lowest_id_at(now() - (n % 2) * interval '7 days')::text, 14)
                  || '7' || substr(gen_random_uuid()::text, 16))::uuid,
               'default', 'sms', 'normal', CASE WHEN n % 4 < 2 THEN 'pending' ELSE 'delivered' END,
               2, 5, '+15555550100', 'x', 'corr',
               CASE WHEN n % 4 < 2 THEN now() + (n - 2000) * interval '1 second' END, now(), now()
          FROM generate_series(1, 500000) n
        """,
        timeout=60,
    )
    await ledger.fetch("ANALYZE notification")
    [plan] = await ledger.fetch(
        f"EXPLAIN (FORMAT JSON) {STATEMENTS.release_due}", 500, new_id()
    )
    [next_due] = await ledger.fetch(f"EXPLAIN (FORMAT JSON) {STATEMENTS.next_due}")

    full = await _large_tables(ledger)
    assert len(full) == 2
    for nodes in (_nodes(plan[0]), _nodes(next_due[0])):
        read = [node for node in nodes if node.get("Relation Name") in full]
        assert read
        assert all(
            "Seq Scan" not in node["Node Type"] for node in nodes if node in read
        )
    finding = [
        node["Index Name"]
        for node in _nodes(plan[0]) + _nodes(next_due[0])
        if node.get("Relation Name") in full and "due_at" in node.get("Index Cond", "")
    ]
    assert finding
    assert all("due_at" in name for name in finding)


async def _large_tables(ledger: Ledger) -> set[str]:
    rows = await ledger.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > 100000"
    )
    return {row["relname"] for row in rows}


def _nodes(plan: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def walk(node: dict[str, Any]) -> None:
        found.append(node)
        for child in node.get("Plans", []):
            walk(child)

    walk(json.loads(plan)[0]["Plan"])
    return found
