import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from contracts.channels import Channel, Priority
from contracts.ids import new_id
from gateway.errors import (
    IntakeFull,
    KeyInFlight,
    LedgerAway,
    Refusal,
    SpoolFull,
    SubmissionFailed,
)
from gateway.intake import Intake
from gateway.metrics import Metrics
from gateway.submissions import KeyOwner, NewNotification, Reservation, Submission
from tests.waiting import until


def notification(reservation_id: UUID | None = None) -> NewNotification:
    return NewNotification(
        id=new_id(),
        tenant="default",
        channel=Channel.SMS,
        priority=Priority.NORMAL,
        max_attempts=5,
        recipient="+15555550001",
        subject=None,
        content="hello",
        correlation_id="c",
        traceparent=None,
        batch_id=None,
        idempotency_key=None,
        metadata=None,
        due_at=None,
        scheduled_at=None,
        expires_at=None,
        template_id=None,
        reservation_id=reservation_id,
    )


def submission(size: int = 1) -> Submission:
    return Submission(notifications=[notification() for _ in range(size)])


def reserving(key: str) -> Submission:
    id_ = new_id()
    reservation = Reservation(
        "default", "POST /", key, b"hash", id_, b"{}", "c", datetime.now(UTC)
    )
    return Submission(notifications=[notification(id_)], reservation=reservation)


class Groups:
    """A ledger that keeps groups in memory, and holds each one until it is let through."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Sequence[Submission]] = asyncio.Queue()
        self.committed: list[Sequence[Submission]] = []
        self.confirmed: list[Sequence[UUID]] = []
        self.errors: list[Exception] = []
        self.bad: Submission | None = None
        self.lost: set[UUID] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def commit_group(
        self,
        group_id: UUID,
        confirmed: Sequence[UUID],
        now: datetime,
        submissions: Sequence[Submission],
        *,
        within_seconds: float,
    ) -> frozenset[UUID]:
        self.begun.put_nowait(submissions)
        await self.open.wait()
        if self.bad in submissions:
            raise asyncpg.CheckViolationError
        if self.errors:
            raise self.errors.pop()
        self.committed.append(submissions)
        self.confirmed.append(confirmed)
        reservations = [
            s.reservation.resource_id for s in submissions if s.reservation is not None
        ]
        return frozenset(reservations) - self.lost


class Outbox:
    """An outbox that takes everything."""

    def __init__(self) -> None:
        self.offered: list[Sequence[NewNotification]] = []
        self.confirmed: list[UUID] = []

    def take_confirmed(self) -> list[UUID]:
        confirmed, self.confirmed = self.confirmed, []
        return confirmed

    def give_back(self, confirmed: Sequence[UUID]) -> None:
        self.confirmed += confirmed

    def offer(self, group_id: UUID, notifications: Sequence[NewNotification]) -> None:
        self.offered.append(notifications)


class Spool:
    """A spool in memory; it is away unless it is told what to answer."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Submission]] = []
        self.answers: list[bool | Refusal] = []
        self.may_know_keys = False
        self.known: set[KeyOwner] = set()

    async def keep(self, submissions: Sequence[Submission]) -> list[bool | Refusal]:
        self.asked.append(submissions)
        return [
            self.answers.pop(0) if self.answers else LedgerAway() for _ in submissions
        ]

    async def knows(self, owners: Sequence[KeyOwner]) -> list[bool]:
        return [owner in self.known for owner in owners]


class Watch:
    """Someone who believes what is said of the ledger."""

    def __init__(self) -> None:
        self.is_away = False

    def suspect(self) -> None:
        self.is_away = True


class Rig:
    def __init__(
        self, capacity: int, group_at_most: int, patience_seconds: float
    ) -> None:
        self.groups = Groups()
        self.outbox = Outbox()
        self.spool = Spool()
        self.watch = Watch()
        self.intake = Intake(
            self.groups,
            self.outbox,
            self.spool,
            self.watch,
            Metrics(CollectorRegistry()),
            capacity=capacity,
            group_at_most=group_at_most,
            commit_seconds=2.0,
            patience_seconds=patience_seconds,
        )


@asynccontextmanager
async def running(
    capacity: int = 1000, group_at_most: int = 100, patience_seconds: float = 60
) -> AsyncIterator[Rig]:
    rig = Rig(capacity, group_at_most, patience_seconds)
    running = asyncio.create_task(rig.intake.run())
    yield rig
    rig.groups.open.set()
    rig.intake.drain()
    await running
    assert rig.intake.depth == 0


async def test_a_submission_alone_is_committed_at_once() -> None:
    async with running() as rig:
        alone = submission()

        assert await rig.intake.accept(alone) is True
        assert rig.groups.committed == [[alone]]
        assert rig.outbox.offered == [alone.notifications]


async def test_while_one_group_commits_the_next_gathers_whole_submissions() -> None:
    async with running(group_at_most=100) as rig:
        rig.groups.open.clear()
        first = asyncio.create_task(rig.intake.accept(submission()))
        await rig.groups.begun.get()
        sizes = [40, 40, 40, 150, 1]
        others = [asyncio.create_task(rig.intake.accept(submission(n))) for n in sizes]
        await asyncio.sleep(0)
        rig.groups.open.set()
        await asyncio.gather(first, *others)

    groups = [[len(s.notifications) for s in group] for group in rig.groups.committed]
    assert groups == [[1], [40, 40], [40], [150], [1]]


async def test_nothing_is_released_before_its_group_is_committed() -> None:
    async with running() as rig:
        rig.groups.open.clear()
        accepting = asyncio.create_task(rig.intake.accept(submission()))
        await rig.groups.begun.get()
        for _ in range(10):
            await asyncio.sleep(0)

        assert not accepting.done()
        assert rig.outbox.offered == []
        rig.groups.open.set()
        assert await accepting is True


async def test_a_ledger_that_is_away_fails_the_group_and_not_the_loop() -> None:
    async with running() as rig:
        rig.groups.errors = [ConnectionRefusedError()]
        rig.outbox.confirmed = [new_id()]
        with pytest.raises(LedgerAway):
            await rig.intake.accept(submission())

        assert len(rig.outbox.confirmed) == 1, "what was not removed is kept for later"
        assert await rig.intake.accept(submission()) is True
        assert len(rig.groups.confirmed[-1]) == 1


async def test_a_group_that_is_not_committed_is_spooled_and_goes_nowhere_else() -> None:
    async with running() as rig:
        rig.groups.open.clear()
        first = asyncio.create_task(rig.intake.accept(submission()))
        await rig.groups.begun.get()
        group = [submission(3), reserving("taken"), submission()]
        accepting = [asyncio.create_task(rig.intake.accept(s)) for s in group]
        await asyncio.sleep(0)
        rig.groups.errors = [TimeoutError(), TimeoutError()]
        rig.spool.answers = [True, True, False, SpoolFull()]
        rig.groups.open.set()

        assert await first is True
        accepted = await asyncio.gather(*accepting, return_exceptions=True)
        assert accepted[:2] == [True, False]
        assert isinstance(accepted[2], SpoolFull)
        assert rig.spool.asked[1] == group
        assert rig.outbox.offered == []
        assert rig.watch.is_away, "a commit that was not answered in time is a sign"


async def test_a_ledger_that_is_known_to_be_away_is_not_asked() -> None:
    async with running() as rig:
        rig.watch.is_away = True
        rig.spool.answers = [True]
        assert await rig.intake.accept(submission()) is True
        assert rig.groups.begun.empty()

        rig.watch.is_away = False
        assert await rig.intake.accept(submission()) is True
        assert rig.groups.begun.qsize() == 1


async def test_a_ledger_without_tables_is_not_away() -> None:
    async with running() as rig:
        rig.groups.errors = [asyncpg.UndefinedTableError()]
        with pytest.raises(LedgerAway):
            await rig.intake.accept(submission())

        assert rig.spool.asked == []


async def test_a_spooled_key_is_in_flight_until_it_is_kept() -> None:
    async with running() as rig:
        rig.watch.is_away = True
        rig.spool.answers = [True, False]
        assert await rig.intake.accept(reserving("k")) is True
        assert await rig.intake.accept(reserving("k")) is False


async def test_a_key_in_the_spool_has_its_answer_there_though_the_ledger_is_back() -> (
    None
):
    async with running() as rig:
        known, other = reserving("known"), reserving("other")
        assert known.reservation is not None
        rig.spool.may_know_keys = True
        rig.spool.known = {known.reservation.owner}
        outcomes = await asyncio.gather(
            *(rig.intake.accept(s) for s in (known, other, submission()))
        )

        assert outcomes == [False, True, True]
        assert known not in [s for group in rig.groups.committed for s in group]


async def test_a_ledger_that_hangs_is_waited_for_briefly_and_asked_no_more() -> None:
    async with running(patience_seconds=0.3) as rig:
        rig.groups.open.clear()
        hanging = submission()
        with pytest.raises(LedgerAway):
            await rig.intake.accept(hanging)

        for _ in range(3):
            with pytest.raises(LedgerAway):
                await rig.intake.accept(submission())

        rig.groups.open.set()
        await until(lambda: rig.groups.committed == [[hanging]])
        assert await rig.intake.accept(submission()) is True


async def test_a_submission_that_cannot_be_stored_fails_alone() -> None:
    async with running() as rig:
        rig.groups.open.clear()
        first = asyncio.create_task(rig.intake.accept(submission()))
        await rig.groups.begun.get()
        rig.groups.bad = submission()
        tasks = [
            asyncio.create_task(rig.intake.accept(one))
            for one in (submission(), rig.groups.bad, submission())
        ]
        await asyncio.sleep(0)
        rig.groups.open.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)

    assert [type(result) for result in results] == [bool, bool, SubmissionFailed, bool]


async def test_a_bug_in_committing_fails_its_submission_and_not_the_loop() -> None:
    async with running() as rig:
        rig.groups.errors = [ZeroDivisionError()]
        with pytest.raises(SubmissionFailed):
            await rig.intake.accept(submission())
        assert await rig.intake.accept(submission()) is True


async def test_what_waits_is_bounded() -> None:
    async with running(capacity=10) as rig:
        rig.groups.open.clear()
        waiting = asyncio.create_task(rig.intake.accept(submission(8)))
        await rig.groups.begun.get()
        with pytest.raises(IntakeFull):
            await rig.intake.accept(submission(3))
        fits = asyncio.create_task(rig.intake.accept(submission(2)))
        rig.groups.open.set()
        assert all(await asyncio.gather(waiting, fits))
        assert await rig.intake.accept(submission(10)) is True


async def test_a_key_is_in_flight_until_its_group_is_committed() -> None:
    async with running() as rig:
        rig.groups.open.clear()
        first = asyncio.create_task(rig.intake.accept(reserving("k")))
        await rig.groups.begun.get()
        with pytest.raises(KeyInFlight):
            await rig.intake.accept(reserving("k"))
        other = asyncio.create_task(rig.intake.accept(reserving("other")))
        rig.groups.open.set()
        assert all(await asyncio.gather(first, other))
        assert await rig.intake.accept(reserving("k")) is True


async def test_a_key_whose_commit_failed_is_not_in_flight_any_more() -> None:
    async with running() as rig:
        rig.groups.errors = [ConnectionResetError()]
        with pytest.raises(LedgerAway):
            await rig.intake.accept(reserving("k"))
        assert await rig.intake.accept(reserving("k")) is True


async def test_a_lost_reservation_is_told_and_its_notifications_go_nowhere() -> None:
    async with running() as rig:
        loser = reserving("k")
        assert loser.reservation is not None
        rig.groups.lost = {loser.reservation.resource_id}

        assert await rig.intake.accept(loser) is False
        assert rig.outbox.offered == [[]]


async def test_a_caller_that_leaves_takes_nothing_back() -> None:
    async with running() as rig:
        rig.groups.open.clear()
        first = asyncio.create_task(rig.intake.accept(submission()))
        await rig.groups.begun.get()
        leaving, staying = reserving("k"), submission()
        leaver = asyncio.create_task(rig.intake.accept(leaving))
        stayer = asyncio.create_task(rig.intake.accept(staying))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(KeyInFlight):
            await rig.intake.accept(reserving("k"))
        rig.groups.open.set()
        assert all(await asyncio.gather(first, stayer))
    assert rig.groups.committed[-1] == [leaving, staying]


async def test_a_drained_intake_has_committed_everything_and_takes_no_more() -> None:
    rig = Rig(capacity=1000, group_at_most=2, patience_seconds=60)
    accepting = [asyncio.create_task(rig.intake.accept(submission())) for _ in range(5)]
    await asyncio.sleep(0)
    rig.intake.drain()
    await rig.intake.run()

    assert await asyncio.gather(*accepting) == [True] * 5
    with pytest.raises(IntakeFull):
        await rig.intake.accept(submission())
