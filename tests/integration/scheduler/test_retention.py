import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from contracts.ids import lowest_id_at
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.redaction import Redaction
from scheduler.retention import Retention
from scheduler.store import Store
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import (
    FAILED,
    LEASED,
    PARKED,
    PENDING,
    column,
    count,
    give_up,
    shape,
    trace,
)
from tests.rows import dead_letter, insert

OLD = timedelta(days=120)
LONG_AGO = "updated_at = now() - interval '119 days'"
FAILED_LONG_AGO = FAILED.replace("now()", "now() - interval '119 days'")
FAILED_NOW = f"{FAILED}, due_at = NULL, updated_at = now()"
#: What a notification may wait for, while its row is not final.
WAITS = {
    "pending": f"{PENDING}, due_at = now() + interval '1 day'",
    "queued": "status = 'queued', queued_at = now()",
    "leased": f"{LEASED}, queued_at = now()",
    "a short wait": "status = 'retrying', queued_at = now()",
    "parked": f"{PARKED}, due_at = now() + interval '1 hour'",
}


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
    """Make the partitions of an old week, with notifications in them that failed then."""
    await ledger.fetch("SELECT tocsin_make_partitions($1, 1)", datetime.now(UTC) - OLD)
    ids = await seed_notifications(ledger, None, number)
    await shape(ledger, ids, FAILED_LONG_AGO, LONG_AGO)
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


@pytest.mark.parametrize("wait", WAITS)
async def test_a_week_stays_while_something_in_it_waits(
    store: Store, metrics: Metrics, ledger: Ledger, wait: str
):
    ids = await old_week(ledger, 2)
    await shape(ledger, ids[:1], "failed_at = NULL", WAITS[wait])
    # All but the wait is old, so nothing else keeps the week.
    await shape(ledger, ids[:1], LONG_AGO)
    retention = Retention(store, metrics, days=90)

    await retention.step()
    assert await count(ledger, "notification") == 2

    [week] = await store.expired_weeks(90)
    assert not await store.detach_week(week, 90), "asked again under the lock"
    await shape(ledger, ids[:1], FAILED_LONG_AGO, "due_at = NULL", LONG_AGO)
    await retention.step()
    assert await count(ledger, "notification") == 0


@pytest.mark.parametrize("status", ["failed", "delivered", "cancelled"])
async def test_a_week_stays_while_something_in_it_ended_lately(
    store: Store, metrics: Metrics, ledger: Ledger, status: str
):
    """It was scheduled far ahead: somebody may still want to know what became of it."""
    ids = await old_week(ledger, 3)
    await shape(ledger, ids[2:], f"status = '{status}', failed_at = NULL")
    await shape(ledger, ids[2:], f"{status}_at = now() - interval '89 days'")

    await Retention(store, metrics, days=90).step()
    assert await count(ledger, "notification") == 3
    assert await count(ledger, "notification_event") == 6

    await Retention(store, metrics, days=88).step()
    assert await count(ledger, "notification") == 0


async def test_a_week_is_not_read_through_again_before_it_may_go(
    store: Store, metrics: Metrics, ledger: Ledger
):
    ids = await old_week(ledger, 2)
    await shape(ledger, ids[:1], FAILED_NOW)
    retention = Retention(store, metrics, days=90)
    await retention.step()
    await shape(ledger, ids[:1], FAILED_LONG_AGO, LONG_AGO)

    await retention.step()
    assert await count(ledger, "notification") == 2, "it was told to wait 90 days"
    await Retention(store, metrics, days=90).step()
    assert await count(ledger, "notification") == 0


async def test_the_last_page_of_a_week_counts_too(store: Store, ledger: Ledger):
    ids = await old_week(ledger, 5)
    [week] = await store.expired_weeks(90)
    assert await store.week_kept_seconds(week, 90, 2) is None

    await shape(ledger, ids[4:], FAILED_NOW)

    kept_seconds = await store.week_kept_seconds(week, 90, 2)
    assert kept_seconds == pytest.approx(90 * 86_400, rel=0.01)


async def test_a_week_stays_while_a_letter_of_it_is_young_whoever_asks_under_the_lock(
    store: Store, ledger: Ledger
):
    ids = await old_week(ledger, 1)
    await give_up(ledger, ids)
    await shape(ledger, ids, FAILED_LONG_AGO, LONG_AGO)
    [week] = await store.expired_weeks(90)

    assert not await store.detach_week(week, 90)
    await ledger.fetch(
        "UPDATE dead_letter SET resolution = 'replayed', resolved_at = now(), resolved_by = 'ann'"
    )
    assert not await store.detach_week(week, 90), "it ended after the replay"

    await ledger.fetch("UPDATE dead_letter SET resolution = 'discarded'")
    assert await store.detach_week(week, 90)


async def test_what_no_week_took_goes_when_it_ended_long_ago(
    store: Store, metrics: Metrics, ledger: Ledger, registry: CollectorRegistry
):
    ids = await seed_notifications(ledger, None, 4)
    await shape(ledger, ids[:2], FAILED_LONG_AGO, LONG_AGO)
    await shape(ledger, ids[2:3], FAILED_NOW)
    await shape(ledger, ids[3:], LONG_AGO)
    # From a gateway whose clock was wrong by years, either way.
    for some, years in ((ids[:1], -9), (ids[1:], 9)):
        await aged(ledger, some, timedelta(days=-365 * years))
    assert await count(ledger, "notification_default") == 4

    await Retention(store, metrics, days=90).step()

    rows = await ledger.fetch("SELECT status FROM notification ORDER BY id")
    assert [row["status"] for row in rows] == ["failed", "queued"]
    assert await count(ledger, "notification_event") == 4
    assert (
        registry.get_sample_value(
            "tocsin_scheduler_outlived_rows_total", {"table": "notification"}
        )
        == 2
    )


async def test_a_batch_stays_as_long_as_one_of_its_notifications(
    store: Store, metrics: Metrics, ledger: Ledger
):
    batch, *ids = await old_week(ledger, 4)
    await ledger.fetch("DELETE FROM notification WHERE id = $1", batch)
    await shape(ledger, ids, f"batch_id = '{batch}'")
    await shape(ledger, ids[:1], PENDING, "due_at = now() + interval '1 day'")
    await insert(
        ledger.pool,
        "batch",
        id=batch,
        tenant="default",
        size=3,
        last_id=ids[-1],
        correlation_id="c",
        created_at=datetime.now(UTC) - OLD,
    )
    retention = Retention(store, metrics, days=90)

    await retention.step()
    assert await count(ledger, "batch") == 1

    await shape(ledger, ids[:1], FAILED_LONG_AGO, "due_at = NULL", LONG_AGO)
    await retention.step()
    assert (await count(ledger, "notification"), await count(ledger, "batch")) == (0, 0)


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
    assert await store.detach_week(week, 90)
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
            **dead_letter(
                id=id_,
                created_at=moment - age,
                published_at=moment if index else None,
            ),
        )

    await Retention(store, metrics, days=90).step()

    assert await count(ledger, "batch") == 1
    assert await count(ledger, "dead_letter") == 2, "the young and the unpublished one"


async def test_redaction_takes_what_ended_long_ago_and_comes_back_for_the_rest(
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
    await shape(ledger, ids[:1], FAILED_NOW)
    await look_again(ledger)
    await redaction.step()
    assert await column(ledger, "recipient", ids[:1]) == ["+15555550100"]

    await shape(ledger, ids[:1], FAILED_LONG_AGO)
    await redaction.step()
    assert await column(ledger, "recipient", ids[:1]) == ["+15555550100"], "not yet"
    await look_again(ledger)
    await redaction.step()
    assert await column(ledger, "content", ids) == ["[redacted]"] * 3
    assert await column(ledger, "content", young) == ["The kettle is on."]
    assert await trace(ledger, ids[1]) == ["created", "queued"]
    assert await count(ledger, "unredacted") == 0
    assert registry.get_sample_value(
        "tocsin_scheduler_redacted_notifications_total"
    ) == pytest.approx(3)


async def look_again(ledger: Ledger) -> None:
    """Pass the time until what was put off is looked at again."""
    await ledger.fetch("UPDATE unredacted SET ready_at = now()")


async def test_what_is_put_off_is_looked_at_when_it_may_be_old_enough(
    store: Store, metrics: Metrics, ledger: Ledger
):
    """Not at each step: a million scheduled far ahead cost no more than one."""
    ids = await old_week(ledger, 2)
    await shape(ledger, ids[:1], PENDING, "due_at = now() + interval '1 year'")
    await shape(ledger, ids[1:], "failed_at = now() - interval '10 days'")

    await Redaction(store, metrics, after_days=30).step()

    rows = await ledger.fetch(
        "SELECT round(extract(epoch FROM ready_at - now()) / 86400)::integer AS days"
        " FROM unredacted ORDER BY id"
    )
    assert [row["days"] for row in rows] == [30, 20]
