"""What operators get to see of dead letters and operations; no recipient and no content."""

from uuid import UUID

import msgspec

from contracts.messages import UtcTime


class LetterView(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    rename={"failure_class": "class", "created_at": "failed_at"},
):
    """A dead letter."""

    id: UUID
    notification_id: UUID
    channel: str
    priority: str
    failure_class: str
    reason: str
    attempts: int
    created_at: UtcTime
    state: str
    published_at: UtcTime | None = None
    resolved_at: UtcTime | None = None
    resolved_by: str | None = None
    resolved_why: str | None = None
    operation_id: UUID | None = None


class LetterPage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A page of dead letters; the last one has no cursor."""

    items: list[LetterView]
    next_cursor: UUID | None = None


class LetterGroup(msgspec.Struct, kw_only=True, rename={"failure_class": "class"}):
    """Dead letters that died of the same."""

    channel: str
    failure_class: str
    reason: str
    count: int
    first: UtcTime
    last: UtcTime


class LetterGroups(msgspec.Struct, kw_only=True):
    """The largest groups."""

    groups: list[LetterGroup]


class Refused(msgspec.Struct, kw_only=True):
    """Dead letters that cannot be replayed."""

    expired: int
    redacted: int
    gone: int  #: their notification is not in the ledger any more, or has moved on


class Forecast(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What would be done."""

    dry_run: bool
    count: int
    refused: Refused | None = None
    samples: list[LetterView] = []


class OperationView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An operation: what was asked for, by whom, why, and how far it has come."""

    id: UUID
    kind: str
    state: str
    who: str
    reason: str
    filter: msgspec.Raw
    total: int
    done: int
    refused: int
    created_at: UtcTime
    updated_at: UtcTime
    rate_per_second: float | None = None
    finished_at: UtcTime | None = None


class OperationList(msgspec.Struct, kw_only=True):
    """The newest operations."""

    items: list[OperationView]
