"""Everything the scheduler asks of the ledger; the SQL is in ``store.sql``."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from contracts.channels import Channel, Lane, Priority
from contracts.ids import lowest_id_at, new_id
from contracts.lifecycle import Status
from contracts.messages import DeadLettered, StatusChanged
from contracts.outcomes import FailureClass
from ops.runtime.ledger import Ledger
from ops.runtime.sql import Statements
from scheduler.rows import (
    Backlog,
    Group,
    Late,
    Letter,
    OnBus,
    Queueing,
    Released,
    Requeued,
    Run,
    Standing,
    Why,
)

STATEMENTS = Statements(Path(__file__).with_name("store.sql"))

#: Further than this nothing is counted: a number for people need not cost the ledger a scan.
COUNTED_AT_MOST = 100_000

_REDACTION = "redaction"

#: A row of the ledger; asyncpg describes no types of its own.
_Row = Any


class Store:
    """The ledger as the scheduler uses it. Every method is one statement unless it says more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def clock(self) -> datetime:
        """Return the ledger's time."""
        now: datetime = await self._value(STATEMENTS.read_clock)
        return now

    async def release_due(self, limit: int) -> Released:
        """Take the ``limit`` most overdue notifications out of waiting and into a group."""
        group_id = new_id()
        rows = await self._ledger.fetch(STATEMENTS.release_due, limit, group_id)
        return Released(
            group=group_of(group_id, rows),
            changes=[change_of(row) for row in rows if row["was"] == Status.PENDING],
            late_seconds=[row["late_seconds"] for row in rows],
        )

    async def seconds_to_next_due(self) -> float | None:
        """Return how far away the next due time is; None when nothing waits."""
        seconds: float | None = await self._value(STATEMENTS.next_due)
        return seconds

    async def late_groups(self, older_than_seconds: float, limit: int) -> Late:
        """Return what is left to publish of the oldest unconfirmed groups."""
        found = await self._ledger.fetch(
            STATEMENTS.late_groups, older_than_seconds, limit
        )
        ids = sorted({id_ for row in found for id_ in row["notification_ids"]})
        rows = await self._ledger.fetch(STATEMENTS.unclaimed, ids) if ids else []
        queueings = {row["id"]: _queueing(row) for row in rows}
        groups = [
            Group(
                [row["id"]],
                row["notification_ids"],
                [queueings[id_] for id_ in row["notification_ids"] if id_ in queueings],
            )
            for row in found
        ]
        return Late(
            groups,
            [change_of(row) for row in rows if row["status"] == Status.QUEUED],
        )

    async def confirm(self, group: Group) -> None:
        """Let go of a group that the bus has."""
        await self._ledger.fetch(STATEMENTS.confirm, group.ids)

    async def confirm_late(self, group: Group) -> None:
        """Let go of a group that the bus has had only since now."""
        await self._ledger.fetch(
            STATEMENTS.confirm_late, group.ids, group.notification_ids
        )

    async def put_back(self, group: Group) -> None:
        """Have a group, and all that is in it, count as made just now."""
        await self._ledger.fetch(STATEMENTS.put_back, group.ids, group.notification_ids)

    async def queued_times(self, ids: Iterable[UUID]) -> dict[UUID | None, datetime]:
        """Return when each of these was put on the bus, leaving out what is not there."""
        rows = await self._ledger.fetch(STATEMENTS.queued_times, list(ids))
        return {row["id"]: row["queued_at"] for row in rows}

    async def on_bus_before(
        self,
        lane: Lane,
        before: datetime,
        margin_seconds: float,
        after: tuple[datetime, UUID],
        limit: int,
    ) -> list[OnBus]:
        """Return a page of what a lane should still hold of the time before ``before``.

        What is in the outbox, and what is younger than that, is left out.
        """
        rows = await self._ledger.fetch(
            STATEMENTS.on_bus_before, *lane, before, margin_seconds, *after, limit
        )
        return [
            OnBus(
                row["id"],
                row["sequence"],
                Status(row["status"]),
                row["queued_at"],
                bool(row["idle"]),
            )
            for row in rows
        ]

    async def requeue(self, chosen: Sequence[tuple[UUID, int, Why]]) -> Requeued:
        """Queue again those of the chosen (id, sequence, why) that still stand as seen."""
        group_id = new_id()
        rows = await self._ledger.fetch(
            STATEMENTS.requeue,
            group_id,
            [id_ for id_, _, _ in chosen],
            [sequence for _, sequence, _ in chosen],
            [why for _, _, why in chosen],
        )
        return Requeued(
            group=group_of(group_id, rows),
            changes=[change_of(row) for row in rows if row["was"] != row["status"]],
            why=[Why(row["why"]) for row in rows],
        )

    async def standings(self, ids: Iterable[UUID]) -> dict[UUID, Standing]:
        """Return where notifications stand, by id; unknown ones are left out."""
        rows = await self._ledger.fetch(STATEMENTS.standings, list(ids))
        return {
            row["id"]: Standing(**{**row, "status": Status(row["status"])})
            for row in rows
        }

    async def fail_poisoned(
        self, ids: Sequence[UUID], reason: str
    ) -> list[StatusChanged]:
        """Give up those that are still poison, with their dead letters."""
        rows = await self._ledger.fetch(STATEMENTS.fail_poisoned, ids, reason)
        return [change_of(row) for row in rows]

    async def letters_of(self, ids: Iterable[UUID]) -> list[Letter]:
        """Return the unpublished dead letters of these notifications."""
        asked_at = time.monotonic()
        rows = await self._ledger.fetch(STATEMENTS.letters_of, list(ids))
        return [_letter(row, asked_at) for row in rows]

    async def late_letters(self, older_than_seconds: float, limit: int) -> list[Letter]:
        """Return the oldest unpublished dead letters, whoever should have published them."""
        asked_at = time.monotonic()
        rows = await self._ledger.fetch(
            STATEMENTS.late_letters, older_than_seconds, limit
        )
        return [_letter(row, asked_at) for row in rows]

    async def stamp_published(self, letters: Sequence[Letter]) -> list[FailureClass]:
        """Note that the DLQ has these; returns the class of each that was not noted before."""
        rows = await self._ledger.fetch(
            STATEMENTS.stamp_published, [letter.id for letter in letters]
        )
        return [FailureClass(row["failure_class"]) for row in rows]

    async def make_partitions(self, weeks: int) -> int:
        """Make this week's partitions and those ahead; returns how many were missing.

        Raises LockNotAvailableError when the tables are too busy.
        """
        async with self._ledger.transaction() as connection:
            await connection.fetchval(STATEMENTS.limit_lock_wait)
            made: int = await connection.fetchval(STATEMENTS.make_partitions, weeks)
        return made

    async def default_partition_rows(self) -> dict[str, int]:
        """Return how many rows of each table no weekly partition took."""
        [row] = await self._ledger.fetch(STATEMENTS.default_partition_rows)
        return dict(row)

    async def prune_idempotency_keys(self, limit: int) -> int:
        """Delete up to ``limit`` expired keys, the oldest first; returns how many."""
        rows = await self._ledger.fetch(STATEMENTS.prune_idempotency_keys, limit)
        return len(rows)

    async def expired_weeks(self, days: int) -> list[str]:
        """Return the weeks that ended more than ``days`` ago, oldest first."""
        rows = await self._ledger.fetch(STATEMENTS.expired_weeks, days)
        return [row["week"] for row in rows]

    async def week_in_use(self, week: str, days: int) -> bool:
        """Say whether a notification of a week waits, failed or was replayed in those days."""
        in_use: bool = await self._value(STATEMENTS.week_in_use, week, days)
        return in_use

    async def week_kept_seconds(self, week: str, days: int, page: int) -> float | None:
        """Return how long a week must be kept for what ended last in it; None: no longer.

        Reads the week through, a page a statement, up to the first such notification.
        """
        monday = datetime.strptime(week, "%Y%m%d").replace(tzinfo=UTC)
        after = UUID(int=lowest_id_at(monday).int - 1)
        before = lowest_id_at(monday + timedelta(days=7))
        while True:
            [row] = await self._ledger.fetch(
                STATEMENTS.look_through_week, after, before, days, page
            )
            if row["last"] is None:
                return None
            if row["kept_seconds"] > 0:
                return float(row["kept_seconds"])
            after = row["last"]

    async def detach_week(self, week: str, days: int) -> bool:
        """Take a week's partitions out of their tables; False while it is in use.

        Raises LockNotAvailableError when the tables are too busy.
        """
        async with self._ledger.transaction() as connection:
            await connection.fetchval(STATEMENTS.limit_lock_wait)
            detached: bool = await connection.fetchval(
                STATEMENTS.detach_week, week, days
            )
        return detached

    async def drop_detached(self) -> int:
        """Drop the tables of weeks that were taken out; returns how many."""
        async with self._ledger.transaction() as connection:
            await connection.fetchval(STATEMENTS.limit_lock_wait)
            dropped: int = await connection.fetchval(STATEMENTS.drop_detached)
        return dropped

    async def prune_default(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` that no week took and that ended ``days`` ago; returns how many."""
        rows = await self._ledger.fetch(STATEMENTS.prune_default, days, limit)
        return len(rows)

    async def prune_batches(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` batches that are older than ``days`` and empty; returns how many."""
        rows = await self._ledger.fetch(STATEMENTS.prune_batches, days, limit)
        return len(rows)

    async def prune_dead_letters(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` published dead letters older than ``days``; returns how many."""
        rows = await self._ledger.fetch(STATEMENTS.prune_dead_letters, days, limit)
        return len(rows)

    async def redact_old(self, days: int, limit: int) -> tuple[int, int]:
        """Redact the next notifications that ended ``days`` ago, in one transaction.

        Those that have not are remembered, and looked at again when they may have. Returns
        how many were looked at, of either kind the larger number, and how many were redacted.
        """
        async with self._ledger.transaction() as connection:
            [walk] = await connection.fetch(STATEMENTS.begin_walk, _REDACTION)
            reached = walk["reached"]
            again = await connection.fetch(STATEMENTS.take_unredacted, limit)
            passed = await connection.fetch(
                STATEMENTS.old_notifications, reached, days, limit
            )
            looked_at = [row["id"] for row in (*again, *passed)]
            redacted = await connection.fetch(STATEMENTS.redact, looked_at, days)
            await connection.execute(STATEMENTS.put_off, looked_at, days)
            await connection.execute(
                STATEMENTS.end_walk,
                _REDACTION,
                passed[-1]["id"] if passed else reached,
            )
        return max(len(passed), len(again)), len(redacted)

    async def write_runs(
        self, instance: str, runs: Sequence[Run], idle: Sequence[Run]
    ) -> None:
        """Write runs down, in two statements; one that is there already stays as it is.

        ``idle`` holds the latest run of each job that found nothing to do.
        """
        await self._ledger.fetch(
            STATEMENTS.write_job_runs,
            [run.id for run in runs],
            instance,
            [run.job for run in runs],
            [run.started_at for run in runs],
            [run.duration_seconds for run in runs],
            [run.runs for run in runs],
            [run.outcome for run in runs],
            [run.scanned for run in runs],
            [run.repaired for run in runs],
            [msgspec.json.encode(run.why).decode() for run in runs],
            [run.error for run in runs],
        )
        await self._ledger.fetch(
            STATEMENTS.write_idle_runs,
            [run.id for run in idle],
            instance,
            [run.job for run in idle],
            [run.started_at for run in idle],
            [run.duration_seconds for run in idle],
            [run.scanned for run in idle],
        )

    async def prune_job_runs(self, kept: int, limit: int) -> int:
        """Delete all but the latest ``kept`` runs of each job, up to ``limit`` of each."""
        rows = await self._ledger.fetch(STATEMENTS.prune_job_runs, kept, limit)
        return len(rows)

    async def backlog(self) -> Backlog:
        """Count what waits, each number no further than ``COUNTED_AT_MOST``."""
        [row] = await self._ledger.fetch(STATEMENTS.backlog, COUNTED_AT_MOST)
        return Backlog(**row)

    async def _value(self, statement: str, *args: Any) -> Any:
        [row] = await self._ledger.fetch(statement, *args)
        return row[0]


def _lane(row: _Row) -> Lane:
    return Lane(Channel(row["channel"]), Priority(row["priority"]))


def _queueing(row: _Row) -> Queueing:
    return Queueing(
        id=row["id"],
        lane=_lane(row),
        sequence=row["sequence"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
    )


def group_of(group_id: UUID, rows: Sequence[_Row]) -> Group:
    return Group(
        ids=[group_id] if rows else [],
        notification_ids=[row["id"] for row in rows],
        queueings=[_queueing(row) for row in rows],
    )


def change_of(row: _Row) -> StatusChanged:
    lane = _lane(row)
    failure = row["failure_class"]
    return StatusChanged(
        notification_id=row["id"],
        tenant=row["tenant"],
        channel=lane.channel,
        priority=lane.priority,
        status=Status(row["status"]),
        attempts=row["attempts"],
        sequence=row["sequence"],
        at=row["updated_at"],
        correlation_id=row["correlation_id"],
        batch_id=row["batch_id"],
        failure_class=FailureClass(failure) if failure else None,
        provider=row["provider"],
    )


def _letter(row: _Row, asked_at: float) -> Letter:
    lane = _lane(row)
    return Letter(
        id=row["id"],
        sequence=row["sequence"],
        traceparent=row["traceparent"],
        written_at=asked_at - row["age_seconds"],
        message=DeadLettered(
            notification_id=row["notification_id"],
            tenant=row["tenant"],
            channel=lane.channel,
            priority=lane.priority,
            attempts=row["attempts"],
            failure_class=FailureClass(row["failure_class"]),
            reason=row["reason"],
            at=row["created_at"],
            # The notification may be older than what the ledger keeps.
            correlation_id=row["correlation_id"] or "",
            batch_id=row["batch_id"],
            provider=row["provider"],
        ),
    )
