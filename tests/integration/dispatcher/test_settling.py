"""Groups of outcomes, written to a real ledger."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest_asyncio
from prometheus_client import CollectorRegistry

from contracts.channels import Channel, Lane, Priority
from contracts.outcomes import FailureClass, OutcomeClass
from dispatcher.answers import Answers
from dispatcher.holdings import Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.providers.port import Outcome
from dispatcher.retries import Decision, Done, GiveBack, GiveUp, Retry
from dispatcher.settling import Finished, Settler, finish
from dispatcher.slots import Slots
from dispatcher.store import Store
from dispatcher.turnstiles import Turnstile
from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.running import (
    details_of,
    row_of,
    trace_of,
    waits_for_a_lock,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)
DELIVERED = Outcome(kind=OutcomeClass.DELIVERED, code="202")
BUSY = Outcome(kind=OutcomeClass.TRANSIENT, code="503")


class Bench(NamedTuple):
    """A settler and what it stands on."""

    ledger: Ledger
    store: Store
    leases: Leases
    settler: Settler
    turnstile: Turnstile
    registry: CollectorRegistry

    async def claimed(self, count: int, lane: Lane = LANE) -> list[Holding]:
        ids = await seed_notifications(self.ledger, None, count, priority=lane.priority)
        claims = {claim.id: claim for claim in await self.store.claim(ids)}
        holdings = [Holding(id_, lane, "nobody.answers") for id_ in ids]
        self.leases.hold(holdings)
        for holding in holdings:
            self.leases.lease(holding, claims[holding.id], 0.0)
        return holdings

    async def settle(self, *finished: Finished) -> None:
        for one in finished:
            self.settler.add(one)
        self.settler.close()
        await self.settler.run()

    async def status(self, id_: UUID) -> str:
        return str((await row_of(self.ledger, id_))["status"])


@pytest_asyncio.fixture
async def bench(ledger: Ledger, bus: Bus) -> Bench:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    answers = Answers(bus.nc, metrics)
    store = Store(ledger, "test/1", 15)
    absence = Absence(15)
    leases = Leases(store, answers, metrics, absence, 15)
    slots = {channel: Slots(200, asyncio.Event()) for channel in Channel}
    turnstile = Turnstile(0.5)
    settler = Settler(store, leases, answers, metrics, absence, slots, turnstile)
    return Bench(ledger, store, leases, settler, turnstile, registry)


async def test_one_group_takes_every_kind_of_outcome(bench: Bench) -> None:
    later = datetime.now(UTC) + timedelta(seconds=20)
    decisions: list[tuple[Decision, Outcome]] = [
        (Done(), DELIVERED),
        (Retry(later, parked=False, because=FailureClass.TRANSIENT), BUSY),
        (Retry(later, parked=True, because=FailureClass.TRANSIENT), BUSY),
        (GiveUp(FailureClass.PERMANENT), Outcome(kind=OutcomeClass.PERMANENT)),
        (GiveBack(1.0), Outcome(kind=OutcomeClass.OURS)),
    ]
    holdings = await bench.claimed(len(decisions))
    await bench.settle(
        *(
            finish(holding, decision, outcome, "webhook", 0.1)
            for holding, (decision, outcome) in zip(holdings, decisions, strict=True)
        )
    )

    rows = [await row_of(bench.ledger, holding.id) for holding in holdings]
    assert [
        (row["status"], row["attempts"], row["queued_at"] is not None, row["due_at"])
        for row in rows
    ] == [
        ("delivered", 1, False, None),
        ("retrying", 1, True, None),
        ("retrying", 1, False, later),
        ("failed", 1, False, None),
        ("queued", 0, True, None),
    ]
    assert {row["sequence"] for row in rows} == {4}
    assert {row["lease_owner"] for row in rows} == {None}
    for holding, row in zip(holdings, rows, strict=True):
        assert (await trace_of(bench.ledger, holding.id))[-1] == row["status"]
    assert len(bench.leases) == 0


async def test_an_outcome_that_the_ledger_refuses_harms_no_other(bench: Bench) -> None:
    holdings = await bench.claimed(7)
    bad = Outcome(kind=OutcomeClass.DELIVERED, code="no \x00 in json")
    await bench.settle(
        *(
            finish(holding, Done(), bad if i == 4 else DELIVERED)
            for i, holding in enumerate(holdings)
        )
    )

    assert [await bench.status(holding.id) for holding in holdings] == [
        *(["delivered"] * 4),
        "processing",
        *(["delivered"] * 2),
    ]
    unwritten = bench.registry.get_sample_value("tocsin_outcomes_unwritten_total")
    assert unwritten == 1


async def test_a_notification_keeps_its_last_failure_when_an_attempt_is_given_back(
    bench: Bench,
) -> None:
    [holding] = await bench.claimed(1)
    await bench.ledger.fetch(
        "UPDATE notification SET failure_class = 'transient', failure_reason = '503'"
    )
    await bench.settle(finish(holding, GiveBack(0), Outcome(kind=OutcomeClass.OURS)))

    row = await row_of(bench.ledger, holding.id)
    assert (row["failure_class"], row["failure_reason"]) == ("transient", "503")


async def test_a_trace_line_says_what_is_known_of_an_attempt(bench: Bench) -> None:
    [holding] = await bench.claimed(1)
    at = datetime(2026, 11, 27, 12, tzinfo=UTC)
    await bench.settle(
        finish(
            holding,
            Retry(at, parked=False, because=FailureClass.THROTTLED),
            Outcome(kind=OutcomeClass.THROTTLED, code="429", words="slow down"),
            "webhook",
            0.1234,
        )
    )

    assert await details_of(bench.ledger, holding.id, "retrying") == [
        {
            "attempt": 1,
            "outcome": "throttled",
            "provider": "webhook",
            "code": "429",
            "words": "slow down",
            "duration_ms": 123,
            "retry_at": "2026-11-27T12:00:00Z",
        }
    ]
    row = await row_of(bench.ledger, holding.id)
    assert row["failure_reason"] == "429: slow down"


async def test_an_urgent_outcome_does_not_wait_for_a_group_that_is_being_written(
    bench: Bench,
) -> None:
    [other] = await bench.claimed(1)
    [urgent] = await bench.claimed(1, Lane(Channel.SMS, Priority.HIGH))
    async with bench.ledger.transaction() as holdup:
        await holdup.execute(
            "SELECT FROM notification WHERE id = $1 FOR UPDATE", other.id
        )
        bench.settler.add(finish(other, Done(), DELIVERED))
        settling = asyncio.create_task(bench.settler.run(), name="settler")
        await until(lambda: waits_for_a_lock(bench.ledger))
        bench.settler.add(finish(urgent, Done(), DELIVERED))

        async def urgent_is_settled() -> bool:
            return await bench.status(urgent.id) == "delivered"

        await until(urgent_is_settled)
        assert await bench.status(other.id) == "processing"
    bench.settler.close()
    await settling
    assert await bench.status(other.id) == "delivered"


async def test_while_urgent_ones_come_the_others_gather_into_one_group(
    bench: Bench,
) -> None:
    bench.turnstile.narrow(1)
    first, second = await bench.claimed(2)
    writing = asyncio.create_task(bench.settler.run())
    bench.settler.add(finish(first, Done(), DELIVERED))
    for _ in range(5):
        await asyncio.sleep(0)
    bench.settler.add(finish(second, Done(), DELIVERED))
    bench.settler.close()
    await writing

    assert await bench.status(first.id) == await bench.status(second.id) == "delivered"
    groups = bench.registry.get_sample_value(
        "tocsin_settle_group_size_notifications_count"
    )
    assert groups == 1
