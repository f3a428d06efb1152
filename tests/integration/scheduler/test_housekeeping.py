import asyncio

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from contracts import topology
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.partitions import Partitions
from scheduler.pruning import Pruning
from scheduler.shape import Shape
from scheduler.store import Store
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import PENDING, add_group, count, shape


async def partitions_of(ledger: Ledger, table: str) -> int:
    return await count(ledger, f"pg_inherits WHERE inhparent = '{table}'::regclass")


async def test_partitions_are_made_ahead_and_only_once(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    before = await partitions_of(ledger, "notification")
    partitions = Partitions(store, metrics, weeks=20)

    await partitions.step()
    after = await partitions_of(ledger, "notification")
    await partitions.step()

    assert after > before
    assert await partitions_of(ledger, "notification") == after
    assert await partitions_of(ledger, "notification_event") == after
    assert registry.get_sample_value("tocsin_scheduler_partitions_made_total") == (
        2 * (after - before)
    )


async def test_rows_that_no_partition_took_are_shown(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    await seed_notifications(ledger, None, 1)
    await ledger.fetch(
        "UPDATE notification SET id = (tocsin_lowest_id_at(now() + interval '9 years'))"
    )

    await Partitions(store, metrics, weeks=2).step()

    rows = {
        table: registry.get_sample_value(
            "tocsin_scheduler_default_partition_rows", {"table": table}
        )
        for table in ("notification", "notification_event")
    }
    assert rows == {"notification": 1, "notification_event": 0}


async def test_a_ledger_in_use_is_not_kept_waiting_for_partitions(
    store: Store, metrics: Metrics, ledger: Ledger, dsn: str
):
    """Someone reads the default partition: making one gives up at once and comes again."""
    before = await partitions_of(ledger, "notification")
    partitions = Partitions(store, metrics, weeks=20)
    reader = await asyncpg.connect(dsn)
    try:
        async with reader.transaction():
            await reader.execute("LOCK TABLE notification_default IN ACCESS SHARE MODE")
            async with asyncio.timeout(3):
                assert (await partitions.step()).pause_seconds == 60
    finally:
        await reader.close()
    assert await partitions_of(ledger, "notification") == before

    assert (await partitions.step()).pause_seconds is None
    assert await partitions_of(ledger, "notification") > before


async def test_expired_idempotency_keys_go_in_pages_and_others_stay(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    await ledger.fetch(
        """
        INSERT INTO idempotency_key (tenant, endpoint, key, body_hash, resource_id, response,
                                     correlation_id, created_at, expires_at)
        SELECT 'default', 'POST /', n::text, '', gen_random_uuid(), '', 'corr', now(),
               now() + CASE WHEN n <= 1200 THEN interval '-1 minute' ELSE interval '1 day' END
          FROM generate_series(1, 1300) n
        """
    )
    pruning = Pruning(store, metrics)

    pauses = [(await pruning.step()).pause_seconds for _ in range(3)]

    assert await count(ledger, "idempotency_key") == 100
    assert pauses[-1] is None, "then it rests"
    assert None not in pauses[:-1], "there is more: it comes back soon"
    assert registry.get_sample_value(
        "tocsin_scheduler_idempotency_keys_pruned_total"
    ) == pytest.approx(1_200)


async def test_the_backlog_is_counted(store: Store, ledger: Ledger):
    ids = await seed_notifications(ledger, None, 5)
    await shape(ledger, ids[:2], PENDING, "due_at = now() - interval '1 second'")
    await shape(ledger, ids[2:4], PENDING, "due_at = now() + interval '1 hour'")
    await add_group(ledger, ids[4:])

    assert tuple(await store.backlog()) == (2, 4, 1)


async def test_what_is_missing_of_the_bus_is_made_and_what_was_tuned_stays(bus: Bus):
    lane, other = topology.CONSUMERS[1:3]
    shape = Shape(bus, replicas=1)
    await shape.step()
    tuned = (await bus.js.consumer_info(lane.stream, lane.name)).config
    await bus.js.add_consumer(lane.stream, tuned.evolve(max_ack_pending=7))

    await shape.step()
    info = await bus.js.consumer_info(lane.stream, lane.name)
    assert info.config.max_ack_pending == 7

    await bus.js.delete_stream(topology.ADVISORY.name)
    await bus.js.delete_consumer(other.stream, other.name)
    await shape.step()
    for consumer in topology.CONSUMERS:
        await bus.js.consumer_info(consumer.stream, consumer.name)
