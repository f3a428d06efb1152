"""What the store returns: the scheduler's view of the ledger."""

import time
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Lane
from contracts.lifecycle import Status
from contracts.mesh import JobOutcome
from contracts.messages import DeadLettered, StatusChanged


class Why(StrEnum):
    """Why a notification was put on the bus again."""

    MESSAGE_LOST = "message_lost"  #: it waits and the bus does not have it
    LEASE_EXPIRED = "lease_expired"  #: its dispatcher is gone, and so is its message
    RETRY_OVERDUE = "retry_overdue"  #: its short wait is over and nothing came of it
    PUT_BACK_TOO_OFTEN = "put_back_too_often"  #: the bus will not deliver it again
    ORPHANED = "orphaned"  #: so too, and the advisory that says so was lost


class Queueing(NamedTuple):
    """One notification on its way to the bus."""

    id: UUID
    lane: Lane
    sequence: int
    correlation_id: str
    traceparent: str | None


class Group(NamedTuple):
    """Notifications to publish together, and the outbox rows that remember them until then."""

    ids: list[UUID]
    notification_ids: list[UUID]
    queueings: list[Queueing]


class Late(NamedTuple):
    """What is left of groups that nobody confirmed."""

    groups: list[Group]
    changes: list[StatusChanged]  #: that may never have been told

    @property
    def group(self) -> Group:
        """Return all of them as one; a notification in several is in it once."""
        queueings = {one.id: one for group in self.groups for one in group.queueings}
        ids = {id_ for group in self.groups for id_ in group.notification_ids}
        return Group(
            [id_ for group in self.groups for id_ in group.ids],
            sorted(ids),
            [queueings[id_] for id_ in sorted(queueings)],
        )


class Released(NamedTuple):
    """One page of what was due; its change is committed."""

    group: Group
    changes: list[StatusChanged]
    late_seconds: list[float]  #: of each notification, when the ledger committed it


class Requeued(NamedTuple):
    """Notifications that were put on the bus again; their change is committed."""

    group: Group
    changes: list[StatusChanged]
    why: list[Why]


class OnBus(NamedTuple):
    """A notification that the ledger believes to be on the bus."""

    id: UUID
    sequence: int
    status: Status
    queued_at: datetime
    idle: bool  #: nothing but its message will move it


class Standing(NamedTuple):
    """Where a notification stands whose message the bus no longer delivers."""

    id: UUID
    sequence: int
    status: Status
    attempts: int
    max_attempts: int
    lost_leases: int  #: the expired one included
    on_bus: bool
    lease_seconds: float | None  #: left of its lease; negative when that is over
    untouched_seconds: float  #: since its last change


class Letter(NamedTuple):
    """A dead letter that the DLQ stream has not confirmed yet."""

    id: UUID
    sequence: int
    traceparent: str | None
    written_at: float  #: by the monotonic clock of this process, or a little before
    message: DeadLettered

    @property
    def age_seconds(self) -> float:
        """Return how long ago it was written, at the least; it goes on growing."""
        return time.monotonic() - self.written_at

    @property
    def message_id(self) -> str:
        """Return the id under which the DLQ stores it once."""
        return f"dlq:{self.message.notification_id}:{self.sequence}"


class Backlog(NamedTuple):
    """What waits, each number counted no further than a limit."""

    due: int
    waiting: int
    outbox_groups: int


class Run(msgspec.Struct, kw_only=True):
    """A run, or several of one job that ended alike."""

    id: UUID
    job: str
    started_at: datetime  #: of the first
    duration_seconds: float  #: of all together
    runs: int = 1
    outcome: JobOutcome
    scanned: int = 0
    why: dict[str, int] = {}
    error: str = ""

    @property
    def repaired(self) -> int:
        """Return how much was put right or changed."""
        return sum(self.why.values())

    def takes(self, other: "Run") -> bool:
        """Say whether the other belongs in the same row."""
        mine, theirs = (
            (run.job, run.outcome, run.error, run.repaired > 0) for run in (self, other)
        )
        return mine == theirs

    def add(self, other: "Run") -> None:
        """Take another in."""
        self.runs += other.runs
        self.duration_seconds += other.duration_seconds
        self.scanned += other.scanned
        for reason, number in other.why.items():
            self.why[reason] = self.why.get(reason, 0) + number
