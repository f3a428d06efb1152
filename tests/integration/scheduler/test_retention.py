import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from contracts.ids import lowest_id_at, new_id
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.redaction import Redaction
from scheduler.retention import Retention
from scheduler.store import Store
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import (
    FAILED,
    PENDING,
    column,
    count,
    shape,
    trace,
)
from tests.rows import insert

OLD = timedelta(days=120)


async def aged(ledger: Ledger, ids: list[UUID], age: timedelta = OLD) -> list[UUID]:
    """Make notifications as old as that, with ids and a trace of that time."""
    first = lowest_id_at(datetime.now(UTC) - age).int
    older = [UUID(int=first + n) for n, _ in enumerate(ids, start=1)]
    for table, name in (
        ("notification", "id"),
        ("notification_event", "notification_id"),
    ):
        await ledger.fetch(
            f"UPDATE {table} t SET {name} = v.older"
            f" FROM unnest($1::uuid[], $2::uuid[]) AS v (id, older) WHERE t.{name} = v.id",
            ids,
            older,
        )
    return older


async def old_week(ledger: Ledger, number: int) -> list[UUID]:
    """Make the partitions of an old week, with notifications in them."""
    await ledger.fetch("SELECT tocsin_make_partitions($1, 1)", datetime.now(UTC) - OLD)
    ids = await seed_notifications(ledger, None, number)
    await shape(ledger, ids, FAILED)
    return await aged(ledger, ids)


async def weeks(ledger: Ledger) -> list[str]:
    rows = await ledger.fetch(
        "SELECT relname FROM pg_class WHERE relname ~ '^notification.*_p[0-9]{8}$'"
        " AND relkind = 'r' ORDER BY 1"
    )
    return [row["relname"] for row in rows]


async def test_a_week_older_than_the_ledger_keeps_is_dropped_whole(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    before = await weeks(ledger)
    await old_week(ledger, 3)
    young = await seed_notifications(ledger, None, 2)
    assert len(await weeks(ledger)) == len(before) + 2

    await Retention(store, metrics, days=200).step()
    assert await count(ledger, "notification") == 5, "not old enough"
    await Retention(store, metrics, days=90).step()

    assert await weeks(ledger) == before
    assert await count(ledger, "notification") == len(young)
    assert await count(ledger, "notification_event") == 2 * len(young)
    assert registry.get_sample_value("tocsin_scheduler_partitions_dropped_total") == 2


async def test_a_week_stays_while_something_in_it_waits(
    store: Store, metrics: Metrics, ledger: Ledger
):
    ids = await old_week(ledger, 2)
    await shape(ledger, ids[:1], PENDING, "due_at = now() + interval '1 day'")
    retention = Retention(store, metrics, days=90)

    await retention.step()
    assert await count(ledger, "notification") == 2

    await shape(ledger, ids[:1], FAILED, "due_at = NULL")
    await retention.step()
    assert await count(ledger, "notification") == 0


async def test_a_ledger_in_use_is_not_kept_waiting_and_what_was_detached_is_found(
    store: Store, metrics: Metrics, ledger: Ledger, dsn: str
):
    before = await weeks(ledger)
    await old_week(ledger, 1)
    retention = Retention(store, metrics, days=90)
    reader = await asyncpg.connect(dsn)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM notification")
            async with asyncio.timeout(3):
                assert (await retention.step()).pause_seconds == 60
    finally:
        await reader.close()
    assert await count(ledger, "notification") == 1

    [week] = await store.expired_weeks(90)
    assert await store.detach_week(week)
    assert len(await weeks(ledger)) == len(before) + 2, (
        "as a scheduler that died leaves it"
    )
    await retention.step()
    assert await weeks(ledger) == before


async def test_old_batches_and_dead_letters_go_and_what_is_unpublished_stays(
    store: Store, metrics: Metrics, ledger: Ledger
):
    moment = datetime.now(UTC)
    for index, age in enumerate((OLD, OLD, timedelta(0))):
        id_ = UUID(int=lowest_id_at(moment - age).int + index)
        await insert(
            ledger.pool,
            "batch",
            id=id_,
            tenant="default",
            size=1,
            last_id=id_,
            correlation_id="c",
            created_at=moment - age,
        )
        await insert(
            ledger.pool,
            "dead_letter",
            id=id_,
            notification_id=new_id(),
            sequence=4,
            tenant="default",
            channel="sms",
            priority="low",
            attempts=1,
            failure_class="permanent",
            reason="no",
            created_at=moment - age,
            published_at=moment if index else None,
        )

    await Retention(store, metrics, days=90).step()

    assert await count(ledger, "batch") == 1
    assert await count(ledger, "dead_letter") == 2, "the young and the unpublished one"


async def test_redaction_takes_what_is_old_and_final_and_comes_back_for_the_rest(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    ids = await old_week(ledger, 3)
    await shape(ledger, ids[:1], PENDING, "due_at = now() + interval '1 day'")
    young = await seed_notifications(ledger, None, 1)
    redaction = Redaction(store, metrics, after_days=30)

    await redaction.step()
    assert await column(ledger, "recipient", ids) == [
        *("+15555550100", "[redacted]", "[redacted]")
    ]
    await shape(ledger, ids[:1], FAILED, "due_at = NULL")
    await redaction.step()
    assert await column(ledger, "content", ids) == ["[redacted]"] * 3
    assert await column(ledger, "content", young) == ["The kettle is on."]
    assert await trace(ledger, ids[1]) == ["created", "queued"]
    assert registry.get_sample_value(
        "tocsin_scheduler_redacted_notifications_total"
    ) == pytest.approx(3)
