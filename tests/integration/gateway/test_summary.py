"""The summary: real numbers, cheap to ask for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from contracts import subjects
from contracts.channels import LANES
from contracts.ids import new_id
from gateway.routes import summary
from gateway.store import Store
from ops.runtime.ledger import Ledger
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import RunningGateway, problem_of
from tests.rows import dead_letter, insert, notification
from tests.unit.gateway.test_throughput import state
from tests.waiting import until

PATH = "/api/v1/metrics"


async def summary_of(gateway: RunningGateway) -> dict[str, Any]:
    response = await gateway.get(PATH)
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = await response.json()
    return body


async def test_a_mesh_where_nothing_happened_has_numbers_all_the_same(
    gateway: RunningGateway,
) -> None:
    assert await summary_of(gateway) == {
        "created_per_minute": 0,
        "delivered_per_minute": 0,
        "failed_per_minute": 0,
        "success_rate": None,
        "queue_depth": {str(lane): 0 for lane in LANES},
        "latency_seconds": {"p50": None, "p95": None, "p99": None},
    }


async def test_what_was_accepted_is_counted_and_waits_in_its_lane(
    gateway: RunningGateway,
) -> None:
    for priority in ("high", "high", "low"):
        await gateway.create(priority=priority)

    async def counted() -> dict[str, Any] | None:
        body = await summary_of(gateway)
        return body if body["created_per_minute"] == 3 else None

    body = await until(counted, 10)
    assert body is not None
    waiting = {lane: n for lane, n in body["queue_depth"].items() if n}
    assert waiting == {"sms/high": 2, "sms/low": 1}


async def test_failures_and_latencies_are_read_from_the_ledger(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    for seconds in range(1, 101):
        await insert(
            ledger.pool,
            **notification(
                status="delivered",
                queued_at=None,
                created_at=now - timedelta(seconds=seconds),
                delivered_at=now,
            ),
        )
    for age in (0, 120):
        await insert(
            ledger.pool,
            "dead_letter",
            **dead_letter(tenant="acme", created_at=now - timedelta(seconds=age)),
        )
    await ledger.fetch(
        "UPDATE dead_letter SET id = tocsin_lowest_id_at(created_at)"
        " WHERE created_at < now() - interval '1 minute'"
    )
    body = await summary_of(gateway)

    assert body["failed_per_minute"] == 1
    assert body["success_rate"] == 0
    assert body["latency_seconds"] == {"p50": 50.5, "p95": 95.05, "p99": 99.01}


async def test_a_scheduled_notification_is_late_from_its_own_time_on(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    await insert(
        ledger.pool,
        **notification(
            status="delivered",
            queued_at=None,
            created_at=now - timedelta(hours=1),
            scheduled_at=now - timedelta(seconds=2),
            delivered_at=now,
        ),
    )

    assert (await summary_of(gateway))["latency_seconds"]["p50"] == 2.0


async def test_deliveries_behind_a_backlog_are_measured(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    for _ in range(3):
        await insert(
            ledger.pool,
            **notification(
                status="delivered",
                queued_at=None,
                created_at=now - timedelta(seconds=7),
                delivered_at=now,
            ),
        )
    await seed_notifications(ledger, None, 50)

    seconds = await Store(ledger).measure_latency(new_id(), 10)
    assert seconds is None
    first = await ledger.pool.fetchval("SELECT min(id::text)::uuid FROM notification")
    assert await Store(ledger).measure_latency(first, 10) == [7.0, 7.0, 7.0]


async def test_asking_often_costs_the_ledger_little(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    await asyncio.gather(*(summary_of(gateway) for _ in range(50)))
    first = await summary_of(gateway)
    await insert(
        ledger.pool,
        **notification(
            status="delivered", queued_at=None, delivered_at=datetime.now(UTC)
        ),
    )

    assert await summary_of(gateway) == first
    assert 1 <= summary._REMEMBERED_SECONDS <= 5


async def test_a_bus_that_is_away_is_said(gateway: RunningGateway) -> None:
    gateway.service.bus.js._timeout = 0.2
    await gateway.service.bus.js.delete_stream("NOTIFY")
    response = await gateway.get(PATH)

    assert response.status == 503
    assert (await problem_of(response))["type"] == "/probs/dependency-unavailable"
    assert response.headers["Retry-After"] == "1"


async def test_the_rate_of_success_is_of_all_that_ended(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    for _ in range(2):
        await insert(ledger.pool, "dead_letter", **dead_letter(tenant="acme"))
    told = state("another", delivered=3, started_at=now)  # in each of two lanes
    await gateway.service.bus.nc.publish(
        subjects.mesh_state(told.service, told.instance), msgspec.json.encode(told)
    )

    async def counted() -> dict[str, Any] | None:
        body = await summary_of(gateway)
        return body if body["delivered_per_minute"] else None

    body = await until(counted, 10)
    assert body is not None
    assert (body["delivered_per_minute"], body["failed_per_minute"]) == (6, 2)
    assert body["success_rate"] == 0.75
