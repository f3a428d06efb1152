import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from piccolo.apps.migrations.commands.backwards import BackwardsMigrationManager

from contracts.ids import lowest_id_at, new_id, time_of
from contracts.lifecycle import FINAL, Status
from contracts.tables import TABLES
from migrations.ledger import aimed_at, migrate
from ops.runtime.ledger import Ledger
from tests.rows import insert, notification

# Public tables with their columns; partitions belong to their parent, `migration` to Piccolo.
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND c.relname <> 'migration' AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
# Everything that a migration can leave behind, by kind and name.
OBJECTS = """
SELECT relkind::text, relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'migration%'
UNION ALL
SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'constraint', conname FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'migration%'
ORDER BY 1, 2
"""
TYPES = {
    "ARRAY": "uuid[]",
    "TIMESTAMPTZ": "timestamp with time zone",
}
MONDAY = datetime(2031, 1, 6, tzinfo=UTC)


@pytest_asyncio.fixture
async def empty(database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection to the empty database of the test's own."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def run_migrations(
    dsn: str | None, *arguments: str
) -> tuple[int | None, str, str]:
    """Run the command, and return its exit code, what it wrote, and what it complained of."""
    environment = dict(os.environ)
    if dsn is not None:
        environment["TOCSIN_POSTGRES_DSN"] = dsn
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "migrations"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_migrated_ledger_is_what_the_tables_declare(ledger: Ledger) -> None:
    declared = {
        table._meta.tablename: {
            column._meta.db_column_name: (
                TYPES.get(column.column_type, column.column_type.lower()),
                column._meta.null,
            )
            for column in table._meta.columns
        }
        for table in TABLES
    }
    actual: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, type_, null in await ledger.fetch(COLUMNS):
        actual.setdefault(table, {})[column] = (type_, null)

    assert actual == declared


async def test_the_second_run_changes_nothing(
    database: str, empty: "asyncpg.Connection[Any]"
) -> None:
    assert len(await migrate(database)) >= 1
    before = await empty.fetch(OBJECTS)

    assert await migrate(database) == []
    assert await empty.fetch(OBJECTS) == before


async def test_two_processes_at_once_run_each_migration_once(database: str) -> None:
    results = await asyncio.gather(
        run_migrations(database), run_migrations(database), run_migrations(database)
    )

    assert [code for code, _, _ in results] == [0, 0, 0]
    assert sorted(bool(out) for _, out, _ in results) == [False, False, True]


async def test_backwards_leaves_nothing_and_forwards_works_again(
    database: str,
    empty: "asyncpg.Connection[Any]",
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = await migrate(database)
    before = await empty.fetch(OBJECTS)

    with aimed_at(database):
        result = await BackwardsMigrationManager(
            app_name="tocsin", migration_id="all", auto_agree=True
        ).run()
    assert result.success
    assert await empty.fetch(OBJECTS) == []

    assert await migrate(database) == ran
    assert await empty.fetch(OBJECTS) == before


async def test_the_command_says_which_migrations_ran(database: str) -> None:
    code, out, err = await run_migrations(database)

    assert (code, err) == (0, "")
    assert len(out.splitlines()) >= 1


async def test_a_ledger_that_is_away_is_one_sentence() -> None:
    code, out, err = await run_migrations("postgresql://tocsin@127.0.0.1:9/tocsin")

    assert (code, out) == (os.EX_TEMPFAIL, "")
    assert err.startswith("the ledger does not answer: ")
    assert len(err.splitlines()) == 1


async def test_a_ledger_that_was_not_named_is_one_sentence() -> None:
    code, _, err = await run_migrations(None)

    assert code == 1
    assert err == "TOCSIN_POSTGRES_DSN is not set: name the ledger to migrate\n"


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize("due", [True, False])
async def test_what_is_not_final_has_a_next_step_and_what_is_final_has_none(
    ledger: Ledger, status: Status, queued: bool, due: bool
) -> None:
    now = datetime.now(UTC)
    row = notification(
        status=status,
        queued_at=now if queued else None,
        due_at=now if due else None,
    )

    if (status in FINAL) == (not queued and not due):
        await insert(ledger.pool, **row)
    else:
        with pytest.raises(
            asyncpg.CheckViolationError, match="notification_has_next_step"
        ):
            await insert(ledger.pool, **row)


@pytest.mark.parametrize("column", ["channel", "priority", "status"])
async def test_words_outside_the_contract_are_refused(
    ledger: Ledger, column: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="known"):
        await insert(ledger.pool, **notification(**{column: "unheard-of"}))


async def partition_of(ledger: Ledger, row: dict[str, Any]) -> str:
    return str(
        await ledger.pool.fetchval(
            "SELECT tableoid::regclass::text FROM notification WHERE id = $1", row["id"]
        )
    )


async def make_partitions(ledger: Ledger, first: datetime, weeks: int) -> int:
    made = await ledger.pool.fetchval(
        "SELECT tocsin_make_partitions($1, $2)", first, weeks
    )
    return int(made)


async def test_a_fresh_ledger_has_a_partition_for_now_and_the_weeks_to_come(
    ledger: Ledger,
) -> None:
    for days in (-7, 0, 7, 14, 21):
        moment = datetime.now(UTC) + timedelta(days=days)
        row = notification(id=lowest_id_at(moment))
        await insert(ledger.pool, **row)

        assert (await partition_of(ledger, row)).startswith("notification_p20")


async def test_partitions_are_weeks_from_monday_on(ledger: Ledger) -> None:
    assert await make_partitions(ledger, MONDAY + timedelta(days=3, hours=5), 2) == 4

    expected = {
        timedelta(milliseconds=-1): "notification_default",
        timedelta(): "notification_p20310106",
        timedelta(days=7, milliseconds=-1): "notification_p20310106",
        timedelta(days=7): "notification_p20310113",
        timedelta(days=14): "notification_default",
    }
    for offset, partition in expected.items():
        row = notification(id=lowest_id_at(MONDAY + offset))
        await insert(ledger.pool, **row)

        assert await partition_of(ledger, row) == partition


async def test_partitions_that_exist_are_left_alone(ledger: Ledger) -> None:
    assert await make_partitions(ledger, MONDAY, 2) == 4
    row = notification(id=lowest_id_at(MONDAY))
    await insert(ledger.pool, **row)

    assert await make_partitions(ledger, MONDAY, 2) == 0
    assert await make_partitions(ledger, MONDAY, 3) == 2
    assert await partition_of(ledger, row) == "notification_p20310106"


async def test_schedulers_that_make_partitions_at_once_take_turns(
    ledger: Ledger,
) -> None:
    made = await asyncio.gather(*(make_partitions(ledger, MONDAY, 3) for _ in range(4)))

    assert sorted(made) == [0, 0, 0, 6]


async def test_rows_that_fell_into_the_default_partition_are_moved_out(
    ledger: Ledger,
) -> None:
    inside = notification(id=lowest_id_at(MONDAY + timedelta(days=1)))
    outside = notification(id=lowest_id_at(MONDAY + timedelta(days=8)))
    for row in (inside, outside):
        await insert(ledger.pool, **row)
        await insert(
            ledger.pool,
            "notification_event",
            notification_id=row["id"],
            sequence=1,
            event="created",
        )

    await make_partitions(ledger, MONDAY, 1)

    assert await partition_of(ledger, inside) == "notification_p20310106"
    assert await partition_of(ledger, outside) == "notification_default"
    events = await ledger.fetch(
        "SELECT notification_id, tableoid::regclass::text AS part, event"
        " FROM notification_event ORDER BY notification_id"
    )
    assert [tuple(event) for event in events] == [
        (inside["id"], "notification_event_p20310106", "created"),
        (outside["id"], "notification_event_default", "created"),
    ]
    moved = await ledger.fetch("SELECT * FROM notification WHERE id = $1", inside["id"])
    assert {key: moved[0][key] for key in inside} == inside


async def test_a_new_partition_keeps_the_rules_of_its_table(ledger: Ledger) -> None:
    await make_partitions(ledger, MONDAY, 1)

    with pytest.raises(asyncpg.CheckViolationError):
        await insert(
            ledger.pool, **notification(id=lowest_id_at(MONDAY), queued_at=None)
        )
    row = notification(id=lowest_id_at(MONDAY))
    await insert(ledger.pool, **row)
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(ledger.pool, **row)
    indexes = await ledger.pool.fetchval(
        "SELECT count(*) FROM pg_indexes WHERE tablename = 'notification_p20310106'"
    )
    assert indexes == 5


async def test_postgres_and_python_agree_on_the_time_in_an_id(ledger: Ledger) -> None:
    moment = datetime(2031, 1, 6, 3, 4, 5, 678_999, tzinfo=UTC)
    id_ = new_id()

    ((lowest, time),) = await ledger.fetch(
        "SELECT tocsin_lowest_id_at($1), uuid_extract_timestamp($2)", moment, id_
    )

    assert lowest == lowest_id_at(moment)
    assert time == time_of(id_)


async def test_ids_made_by_postgres_follow_those_made_before(ledger: Ledger) -> None:
    before = new_id()
    made = await ledger.pool.fetchval("SELECT uuidv7()")

    assert time_of(before) <= time_of(made) + timedelta(milliseconds=1)
