"""What a gateway answers, as far as a client needs it. Fields it does not know are ignored."""

from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import FINAL, Status
from contracts.messages import UtcTime
from contracts.receipts import Receipt

_Value = TypeVar("_Value")


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as the gateway shows it; what it does not say is None."""

    id: UUID
    channel: Channel
    priority: Priority
    status: Status
    attempts: int
    max_attempts: int
    created_at: UtcTime
    updated_at: UtcTime
    correlation_id: str | None = None
    batch_id: UUID | None = None
    scheduled_at: UtcTime | None = None
    next_retry_at: UtcTime | None = None
    failure_class: str | None = None
    failure_reason: str | None = None
    provider: str | None = None
    receipt: Receipt | None = None  #: the newest, by the provider's clock


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. ``counts`` is empty in the answer that accepts it."""

    id: UUID
    size: int
    created_at: UtcTime
    counts: dict[Status, int] = {}


class TraceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    event: str
    created_at: UtcTime
    details: dict[str, Any] | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All that happened to one notification, oldest first."""

    notification_id: UUID
    entries: list[TraceEntry]


class Answer(NamedTuple, Generic[_Value]):
    """What the gateway answered: understood, and as it came."""

    value: _Value
    body: bytes
    replayed: bool  #: the answer to an earlier request with the same idempotency key


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Where a notification stands now. ``sequence`` rises with each of its changes."""

    notification_id: UUID
    status: Status
    attempts: int
    sequence: int
    at: UtcTime
    batch_id: UUID | None = None
    receipt: Receipt | None = None

    @property
    def is_final(self) -> bool:
        """Say whether nothing follows by itself."""
        return self.status in FINAL
