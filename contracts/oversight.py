"""What operators see of the mesh, and what they did: as gateways answer and clients read.

What is not set is absent. Readers ignore fields they do not know.
"""

import hashlib
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from contracts.breakers import BreakerCondition
from contracts.channels import Channel, Priority
from contracts.controls import BreakerOrder
from contracts.lifecycle import Status
from contracts.mesh import JobReading, ServiceState
from contracts.messages import UtcTime

#: Names the person who acts, beside the key or in its place.
OPERATOR_HEADER = "Tocsin-Operator"
OPERATOR_AT_MOST_CHARACTERS = 100

AUDIT_AT_MOST = 200
RUNS_AT_MOST = 200
FOUND_AT_MOST = 100

#: A process that has said nothing for so long is lost.
LOST_AFTER_SECONDS = 5.0

_HASH_CHARACTERS = 16
RECIPIENT_HASH_PATTERN = f"^[0-9a-f]{{{_HASH_CHARACTERS}}}$"


class Action(StrEnum):
    """What operators do, as the audit and the bus name it."""

    LANE_PAUSED = "lane.paused"
    LANE_RESUMED = "lane.resumed"
    BREAKER_ORDERED = "breaker.ordered"
    LIMIT_SET = "limit.set"
    LIMIT_CLEARED = "limit.cleared"
    LETTERS_REPLAYED = "letters.replayed"  #: begun; the target is the operation
    LETTERS_DISCARDED = "letters.discarded"
    RECIPIENT_ERASED = "recipient.erased"
    OPERATION_STOPPED = "operation.stopped"
    NOTIFICATION_CANCELLED = "notification.cancelled"


class Effect(StrEnum):
    """Whether what an operator asked for took effect."""

    PENDING = "pending"  #: being carried out, or not known yet
    DONE = "done"
    FAILED = "failed"  #: it did not, and will not


class _Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is answered; what is not set is absent."""


class AuditEntry(_Shown, frozen=True, kw_only=True):
    """One thing that an operator did, or tried to."""

    id: UUID
    action: str
    target: str
    who: str
    reason: str
    at: UtcTime
    tenant: str
    effect: Effect
    details: dict[str, Any] = {}
    """What the control is now, and under ``previous`` what it was before."""


class AuditPage(_Shown, frozen=True, kw_only=True):
    """Part of the audit, newest first; no cursor on the last page."""

    items: list[AuditEntry]
    next_cursor: UUID | None = None


class LaneStanding(_Shown, frozen=True, kw_only=True):
    """A lane, over all dispatchers."""

    channel: Channel
    priority: Priority
    queued: int  #: waits on the bus
    in_flight: int  #: dispatchers hold it
    paused: bool
    paused_as: str | None = None  #: the target to resume: the channel, or the lane
    paused_by: str | None = None
    paused_why: str | None = None
    paused_at: UtcTime | None = None
    limit_per_second: float | None = None  #: of the whole channel; absent: unlimited


class LaneStandings(_Shown, frozen=True, kw_only=True):
    """Every lane."""

    items: list[LaneStanding]


class Override(_Shown, frozen=True, kw_only=True):
    """The last order to a breaker."""

    order: BreakerOrder
    by: str
    at: UtcTime
    reason: str


class ProviderStanding(_Shown, frozen=True, kw_only=True):
    """A provider and its breaker, over all dispatchers that live, or else that did."""

    provider: str
    shares: dict[Channel, float]  #: of each channel's traffic it gets, 0 to 1
    breaker: BreakerCondition
    forced: bool  #: held open by an operator
    sends: int  #: in the breaker's window
    failures: int
    lost: bool = False  #: all dispatchers that told of it are lost
    since: UtcTime | None = None  #: when the breaker last changed; absent: it never has
    override: Override | None = None
    rate_limit: float | None = None  #: per second; absent: unlimited


class ProviderStandings(_Shown, frozen=True, kw_only=True):
    """Every provider that dispatchers tell of."""

    items: list[ProviderStanding]


class LimitStanding(_Shown, frozen=True, kw_only=True):
    """A limit that an operator has set; 0 is unlimited."""

    target: str  #: ``channel.sms`` or ``provider.acme``
    per_second: float
    by: str
    at: UtcTime
    reason: str


class LimitStandings(_Shown, frozen=True, kw_only=True):
    """The limits that operators have set. What no operator has set is configured."""

    items: list[LimitStanding]


class ProcessStanding(_Shown, frozen=True, kw_only=True):
    """What a process last said of itself, and how long ago."""

    age_seconds: float
    lost: bool  #: silent for long, and it did not say goodbye
    state: ServiceState


class ProcessStandings(_Shown, frozen=True, kw_only=True):
    """Every process heard of, lost ones for an hour."""

    items: list[ProcessStanding]


class JobRun(_Shown, frozen=True, kw_only=True):
    """What a job of the scheduler did; runs that follow each other closely are one entry."""

    job: str
    started_at: UtcTime
    duration_seconds: float
    outcome: str
    scanned: int
    repaired: int
    why: dict[str, int]  #: repairs by their reason
    error: str
    instance: str
    runs: int
    idle: bool = False  #: it found nothing to do; only the latest such run is kept


class Schedule(_Shown, frozen=True, kw_only=True):
    """The jobs as the schedulers that hold them tell, and runs on record, newest first."""

    jobs: list[JobReading]
    runs: list[JobRun]


class Found(_Shown, frozen=True, kw_only=True):
    """A notification that was looked up: whom it goes to is masked, its words left out."""

    id: UUID
    channel: Channel
    priority: Priority
    status: Status
    recipient: str  #: masked
    recipient_hash: str
    attempts: int
    max_attempts: int
    created_at: UtcTime
    updated_at: UtcTime
    correlation_id: str | None = None
    batch_id: UUID | None = None
    template_id: UUID | None = None
    idempotency_key: str | None = None
    scheduled_at: UtcTime | None = None
    expires_at: UtcTime | None = None
    next_retry_at: UtcTime | None = None
    failure_reason: str | None = None
    failure_class: str | None = None
    provider: str | None = None
    provider_message_id: str | None = None
    last_attempted_at: UtcTime | None = None
    delivered_at: UtcTime | None = None
    failed_at: UtcTime | None = None
    cancelled_at: UtcTime | None = None


class FoundList(_Shown, frozen=True, kw_only=True):
    """What was found, newest first."""

    items: list[Found]
    searched_from: UtcTime | None = None
    """How far back was looked; absent when all was looked through, or enough was found."""


def target_of_lane(channel: Channel, priority: Priority | None = None) -> str:
    """Name a lane, or a whole channel, as the target of an action."""
    return str(channel) if priority is None else f"{channel}.{priority}"


def recipient_hash(recipient: str) -> str:
    """Return what a recipient can be looked up by without being told."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:_HASH_CHARACTERS]


def masked(channel: Channel, recipient: str) -> str:
    """Return enough of a recipient to recognize it, and too little to use it."""
    match channel:
        case Channel.SMS:
            return _ends(recipient, 3, 2)
        case Channel.EMAIL:
            local, at, domain = recipient.partition("@")
            return f"{_ends(local, 1, 0)}{at}{domain}"
        case Channel.PUSH:
            return _ends(recipient, 4, 0)


def _ends(text: str, first: int, last: int) -> str:
    """Keep the ends of a text of which at least half stays hidden."""
    if len(text) < 2 * (first + last):
        return "***"
    return f"{text[:first]}***{text[len(text) - last :]}"
