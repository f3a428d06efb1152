"""How the ledger finds what the scheduler looks for, in tables that have grown.

Partial indexes hold only what waits. A plan that reads a partition through would be as right,
and would take the ledger down at ten million rows.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio

from contracts.ids import new_id
from ops.runtime.ledger import Ledger
from scheduler.store import STATEMENTS

FINISHED, WAITING, ON_BUS = 120_000, 10_000, 5_000
READ_THROUGH = "Seq Scan"

# Three weeks of notifications of every lane, in the order of their ids.
_SEED = """
INSERT INTO notification (id, tenant, channel, priority, status, sequence, max_attempts, recipient,
    content, correlation_id, due_at, queued_at, created_at, updated_at)
SELECT uuidv7(make_interval(days => 7 * (n % 3)::integer - 7)), 'default',
       (ARRAY['sms', 'email', 'push'])[1 + n % 3], (ARRAY['high', 'normal', 'low'])[1 + n / 3 % 3],
       $1, 2, 5, '+15555550001', repeat('The kettle is on. ', 8), 'corr',
       CASE $1 WHEN 'pending' THEN now() + make_interval(mins => n - 100) END,
       CASE $1 WHEN 'queued' THEN now() - make_interval(secs => n) END, now(), now()
  FROM generate_series(1, $2::integer) n
"""
_EMPTY = """
SELECT relname FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) = 0
"""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
STATEMENTS_AND_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "release_due": (500, new_id()),
    "next_due": (),
    "on_bus_before": ("sms", "high", LONG_AGO, 10.0, LONG_AGO, new_id(), 1000),
    "queued_times": ([new_id() for _ in range(9)],),
    "standings": ([new_id() for _ in range(100)],),
}


@pytest_asyncio.fixture
async def grown(ledger: Ledger) -> Ledger:
    """A ledger with far more behind it than before it, and statistics that know."""
    for status, number in (
        ("delivered", FINISHED),
        ("pending", WAITING),
        ("queued", ON_BUS),
    ):
        await ledger.pool.execute(_SEED, status, number, timeout=120)
    await ledger.pool.execute("VACUUM ANALYZE notification", timeout=120)
    return ledger


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def plan_of(ledger: Ledger, name: str, *arguments: Any) -> list[dict[str, Any]]:
    """Return the nodes of a plan made for these arguments."""
    statement = getattr(STATEMENTS, name)
    [row] = await ledger.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return list(nodes(json.loads(row[0])[0]["Plan"]))


async def plan_for_all(
    ledger: Ledger, name: str, arguments: int
) -> list[dict[str, Any]]:
    """Return the nodes of the plan that a busy connection keeps for any arguments."""
    values = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
    async with ledger.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE kept AS {getattr(STATEMENTS, name)}")
        [row] = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE kept{values}")
        await connection.execute("DEALLOCATE kept")
    return list(nodes(json.loads(row[0])[0]["Plan"]))


async def test_nothing_the_scheduler_looks_for_is_found_by_reading_a_table_through(
    grown: Ledger,
):
    empty = {row["relname"] for row in await grown.fetch(_EMPTY)}

    for name, arguments in STATEMENTS_AND_ARGUMENTS.items():
        plan = await plan_of(grown, name, *arguments)
        generic = await plan_for_all(grown, name, len(arguments))
        read_through = {
            node["Relation Name"]
            for node in [*plan, *generic]
            if node["Node Type"] == READ_THROUGH
            and node["Relation Name"].startswith("notification")
        }
        assert read_through <= empty, name


async def test_the_next_due_time_is_read_from_the_index_alone(grown: Ledger):
    plan = await plan_of(grown, "next_due")

    scans = [node for node in plan if "Relation Name" in node]
    assert {node["Node Type"] for node in scans} == {"Index Only Scan"}
    assert all("due_at" in node["Index Name"] for node in scans)


async def test_what_is_due_is_read_in_order_and_no_further_than_a_page(grown: Ledger):
    """The rows that wait for later, and those that are final, are not even looked at."""
    async with grown.transaction() as connection:
        [row] = await connection.fetch(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {STATEMENTS.release_due}", 50, new_id()
        )
    plan = list(nodes(json.loads(row[0])[0]["Plan"]))

    assert not any(node["Node Type"] == "Sort" for node in plan)
    due = [node for node in plan if "due_at" in node.get("Index Name", "")]
    assert sum(node["Actual Rows"] for node in due) <= 50 + len(due)
    assert sum(node.get("Rows Removed by Filter", 0) for node in due) == 0
