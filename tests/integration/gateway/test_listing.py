"""Lists: what passes the filters, newest first, page by page, for one tenant."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts.ids import lowest_id_at, new_id, time_of
from contracts.settings import MeshSettings
from gateway.filters import Filters, Range
from gateway.routes import listing
from gateway.store import SQL, Scanned, Store
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.rows import insert, notification


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as gateway:
        yield gateway


async def page(gateway: RunningGateway, **parameters: Any) -> dict[str, Any]:
    response = await gateway.get(f"{NOTIFICATIONS}?{urlencode(parameters)}")
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = await response.json()
    return body


async def pages(gateway: RunningGateway, **parameters: Any) -> list[list[str]]:
    """Return the ids of every page there is."""
    found = []
    while True:
        body = await page(gateway, **parameters)
        found.append([item["id"] for item in body["items"]])
        if "next_cursor" not in body:
            return found
        parameters["cursor"] = body["next_cursor"]


async def ids(gateway: RunningGateway, **parameters: Any) -> list[str]:
    return [id_ for ids in await pages(gateway, **parameters) for id_ in ids]


async def seed(ledger: Ledger, count: int, **columns: Any) -> list[str]:
    """Insert notifications, and return their ids, newest first."""
    made = [notification(**columns) for _ in range(count)]
    for row in made:
        await insert(ledger.pool, **row)
    return [str(row["id"]) for row in reversed(made)]


async def test_a_list_of_nothing_has_items_and_no_cursor(
    gateway: RunningGateway,
) -> None:
    assert await page(gateway) == {"items": []}


async def test_pages_are_newest_first_and_leave_nothing_out(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    made = await seed(ledger, 45)

    assert await pages(gateway) == [made[:20], made[20:40], made[40:]]
    assert await pages(gateway, limit=45) == [made]
    assert [len(p) for p in await pages(gateway, limit=15)] == [15, 15, 15]


async def test_an_item_is_the_notification_as_it_is_shown_alone(
    gateway: RunningGateway,
) -> None:
    created = await gateway.create(metadata={"order": 7})
    shown = await gateway.get(f"{NOTIFICATIONS}/{created['id']}")

    assert (await page(gateway))["items"] == [await shown.json()]


async def test_a_cursor_is_stable_while_rows_are_inserted(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    made = await seed(ledger, 10)
    first = await page(gateway, limit=5)
    await seed(ledger, 7)
    second = await page(gateway, limit=5, cursor=first["next_cursor"])

    assert [item["id"] for item in first["items"] + second["items"]] == made


async def test_filters_are_anded(gateway: RunningGateway, ledger: Ledger) -> None:
    rows: list[dict[str, Any]] = []
    final = {"queued_at": None}
    for number in range(64):
        is_final = bool(number & 1)
        rows.append(
            notification(
                status="delivered" if is_final else "queued",
                channel="email" if number & 2 else "sms",
                priority="high" if number & 4 else "low",
                recipient="someone@example.com" if number & 8 else "+15555550001",
                correlation_id="order" if number & 16 else "other",
                **(final if is_final else {}),
            )
        )
        await insert(ledger.pool, **rows[-1])
    rows.reverse()
    wanted: dict[str, str] = {}
    for name, value in {
        "priority": "high",
        "recipient": "someone@example.com",
        "status": "delivered",
        "correlation_id": "order",
        "channel": "email",
    }.items():
        wanted[name] = value
        alone = [str(row["id"]) for row in rows if row[name] == value]
        both = [
            str(row["id"])
            for row in rows
            if all(row[name] == value for name, value in wanted.items())
        ]
        assert await ids(gateway, limit=7, **{name: value}) == alone
        assert await ids(gateway, limit=7, **wanted) == both
    assert len(both) == 2


async def test_a_batch_is_listed_by_its_id(gateway: RunningGateway) -> None:
    await gateway.create()
    body = {"notifications": [SMS, SMS | {"priority": "high"}, SMS]}
    batch = await (await gateway.post(body, BATCHES)).json()
    await gateway.create()
    members = (await page(gateway, batch_id=batch["id"]))["items"]

    assert len(members) == 3
    assert {member["batch_id"] for member in members} == {batch["id"]}
    assert len(await ids(gateway, batch_id=batch["id"], priority="high")) == 1
    assert await ids(gateway, batch_id=str(uuid4())) == []


async def test_bounds_of_time_are_inclusive(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    made = []
    for second in range(5):
        id_ = UUID(int=lowest_id_at(start + timedelta(seconds=second)).int | 7)
        await insert(ledger.pool, **notification(id=id_))
        made.append(str(id_))
    after = (start + timedelta(seconds=1)).isoformat()
    before = (start + timedelta(seconds=3)).isoformat()

    assert await ids(gateway, created_after=after, created_before=before, limit=2) == [
        made[3],
        made[2],
        made[1],
    ]
    assert await ids(gateway, created_after=before, created_before=after) == []


async def test_rows_of_every_partition_are_listed(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    made: list[str] = []
    for days in (400, 6, 3, 0):
        moment = datetime.now(UTC) - timedelta(days=days)
        id_ = UUID(int=lowest_id_at(moment).int | 7)
        await insert(ledger.pool, **notification(id=id_, recipient="+15555550077"))
        made.insert(0, str(id_))

    assert await ids(gateway, limit=1) == made
    assert await ids(gateway, limit=3, recipient="+15555550077") == made


async def test_a_search_that_takes_too_long_gives_a_short_page_and_goes_on(
    gateway: RunningGateway, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    [oldest] = await seed(ledger, 1, priority="high")
    await seed(ledger, 40, priority="low")
    [newest] = await seed(ledger, 1, priority="high")
    monkeypatch.setattr(listing, "_SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(listing, "_ROWS_AT_FIRST", 10)
    found = await pages(gateway, priority="high")

    assert [id_ for part in found for id_ in part] == [newest, oldest]
    assert [len(part) for part in found] == [1, 0, 0, 1]  # 42 rows, eleven at a time


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("cursor=nonsense", "bad-request"),
        ("limit=ten", "bad-request"),
        ("status=sent", "invalid-status"),
        ("channel=fax", "invalid-channel"),
        ("priority=urgent", "invalid-priority"),
        ("batch_id=7", "bad-request"),
        ("created_after=yesterday", "bad-request"),
        ("recipient=%00", "bad-request"),
        ("recipient=%ff", "bad-request"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_query_is_answered_with_its_problem(
    shared_gateway: RunningGateway, query: str, slug: str
) -> None:
    response = await shared_gateway.get(f"{NOTIFICATIONS}?{query}")

    assert response.status == 400
    problem = await problem_of(response)
    assert problem["type"] == f"/probs/{slug}"
    assert problem["instance"] == NOTIFICATIONS


async def test_a_cursor_goes_with_its_filters(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    await seed(ledger, 3)
    cursor = (await page(gateway, limit=1, channel="sms"))["next_cursor"]
    query = urlencode({"cursor": cursor, "channel": "email"})
    response = await gateway.get(f"{NOTIFICATIONS}?{query}")

    assert response.status == 400
    assert len((await page(gateway, limit=2, cursor=cursor, channel="sms"))["items"])


async def plan_of(ledger: Ledger, statement: str, *args: Any) -> str:
    """Return how the ledger would run a statement, now that it knows its rows."""
    async with ledger.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF) {statement}", *args
        )
    return "\n".join(row[0] for row in rows)


async def filled(ledger: Ledger, moments: Sequence[datetime], each: int) -> None:
    """Insert many rows in several weeks, quickly."""
    ids = [
        UUID(int=lowest_id_at(moment).int | number)
        for moment in moments
        for number in range(each)
    ]
    await ledger.fetch(
        "INSERT INTO notification (id, tenant, channel, priority, status, sequence,"
        " max_attempts, recipient, content, correlation_id, queued_at, created_at,"
        " updated_at) SELECT id, 'default', 'sms', 'low', 'queued', 2, 5,"
        " '+1' || substr(id::text, 25), 'x', id::text, now(), now(), now()"
        " FROM unnest($1::uuid[]) AS new (id)",
        ids,
    )
    await ledger.fetch("ANALYZE notification")


@pytest.mark.parametrize("recipient", [None, "+1000000000001"])
async def test_a_list_is_read_from_an_index_and_only_where_its_ids_are(
    ledger: Ledger, recipient: str | None
) -> None:
    now = datetime.now(UTC)
    week_ago = now - timedelta(days=7)
    await filled(ledger, [week_ago, now], 3_000)
    within = (new_id(), lowest_id_at(now - timedelta(hours=1)))
    anything = (None, None, None, None)
    plan = await plan_of(
        ledger,
        SQL.list_notifications,
        *("default", *within, 500, 21, *anything, recipient, None, None, None),
    )
    monday = datetime.fromisocalendar(*week_ago.isocalendar()[:2], 1)

    ran = [line for line in plan.splitlines() if "never executed" not in line]
    assert [line for line in ran if "Index" in line and " Scan " in line]
    assert not [line for line in ran if "Seq Scan" in line], plan
    assert f"notification_p{monday:%Y%m%d}" not in plan, plan
    looked_at = [int(n) for n in re.findall(r"rows=(\d+)", plan)]
    assert max(looked_at) <= 501, plan


async def test_a_tenant_without_rows_costs_no_look_at_those_of_others(
    ledger: Ledger,
) -> None:
    await filled(ledger, [datetime.now(UTC)], 3_000)
    store = Store(ledger).of("nobody")
    async with store.searching() as searching:
        for _ in range(10):  # often enough for Postgres to think of one plan for all
            scanned = await searching.scan(
                Filters(), Range(), rows_at_most=21, limit=21
            )
        assert searching._connection is not None
        read = await searching._connection.fetchval(
            "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
            " WHERE relname LIKE 'notification_p%'"
        )

    assert scanned == Scanned([], None)
    assert read < 100


async def test_lists_and_inserts_do_not_disturb_each_other(
    gateway: RunningGateway,
) -> None:
    async def create_some() -> list[str]:
        return [(await gateway.create())["id"] for _ in range(20)]

    before = await create_some()
    created, first, second = await asyncio.gather(
        create_some(), pages(gateway, limit=3), pages(gateway, limit=7)
    )
    for found in (first, second):
        flat = [id_ for part in found for id_ in part]
        assert flat == sorted(flat, reverse=True)
        assert set(before) <= set(flat) <= {*before, *created}
    assert all(time_of(UUID(id_)) for id_ in created)


async def test_templates_in_use_are_found_by_an_index(ledger: Ledger) -> None:
    rows = await ledger.fetch(
        "EXPLAIN SELECT FROM notification WHERE tenant = 'a' AND template_id = $1"
        " AND (queued_at IS NOT NULL OR due_at IS NOT NULL) LIMIT 1",
        uuid4(),
    )
    plan = "\n".join(row[0] for row in rows)

    assert "template_id" in plan
    assert "Seq Scan on notification_p" not in plan
