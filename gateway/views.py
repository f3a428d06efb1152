"""What clients get to see: answers as structs, in the order the contract names the fields.

A field that is not set is absent.
"""

from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.ids import time_of
from contracts.lifecycle import Status
from contracts.messages import UtcTime
from contracts.receipts import Receipt
from gateway.receipts.readings import ReceiptOutcome
from gateway.submissions import NewNotification

encode = msgspec.json.Encoder().encode


class NotificationView(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A notification as it is answered."""

    id: UUID
    channel: Channel
    recipient: str
    content: str
    status: Status
    priority: Priority
    attempts: int
    max_attempts: int
    created_at: UtcTime
    updated_at: UtcTime
    correlation_id: str | None = None
    batch_id: UUID | None = None
    template_id: UUID | None = None
    idempotency_key: str | None = None
    metadata: msgspec.Raw | None = None
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
    receipt: Receipt | None = None  #: the newest by its provider's clock


def accepted(notification: NewNotification) -> NotificationView:
    """Return a notification as it is answered when it is accepted."""
    created_at = time_of(notification.id)
    metadata = notification.metadata
    return NotificationView(
        id=notification.id,
        channel=notification.channel,
        recipient=notification.recipient,
        content=notification.content,
        status=Status.QUEUED if notification.due_at is None else Status.PENDING,
        priority=notification.priority,
        attempts=0,
        max_attempts=notification.max_attempts,
        created_at=created_at,
        updated_at=created_at,
        correlation_id=notification.correlation_id,
        batch_id=notification.batch_id,
        template_id=notification.template_id,
        idempotency_key=notification.idempotency_key,
        metadata=None if metadata is None else msgspec.Raw(metadata.encode()),
        scheduled_at=notification.scheduled_at,
        expires_at=notification.expires_at,
    )


class BatchAccepted(msgspec.Struct, kw_only=True, gc=False):
    """A batch as it is answered when it is accepted."""

    id: UUID
    size: int
    correlation_id: str
    created_at: UtcTime


class BatchView(BatchAccepted, kw_only=True):
    """A batch with its members, and how many of them stand where."""

    counts: dict[Status, int]
    notifications: list[NotificationView]


class StatusView(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One change of a notification, or where it stands, as those who follow it see it."""

    notification_id: UUID
    status: Status
    batch_id: UUID | None = None
    attempts: int
    at: UtcTime
    sequence: int
    receipt: Receipt | None = None
    """The newest that is known, where it stands; or the one that came, the status as it was."""


class Page(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Part of a list of notifications, newest first; no cursor on the last page."""

    items: list[NotificationView]
    next_cursor: str | None = None


class TemplateView(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A template as it is answered."""

    id: UUID
    name: str
    channel: Channel
    body: str
    subject: str | None = None
    created_at: UtcTime
    updated_at: UtcTime


class TemplatePage(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Part of a list of templates, newest first; no cursor on the last page."""

    items: list[TemplateView]
    next_cursor: str | None = None


class Latency(msgspec.Struct, kw_only=True):
    """Seconds from acceptance, or from the scheduled time, to delivery."""

    p50: float | None
    p95: float | None
    p99: float | None


class Summary(msgspec.Struct, kw_only=True):
    """What the whole mesh did in the last minute. Null: nothing happened to measure."""

    created_per_minute: int
    delivered_per_minute: int
    failed_per_minute: int
    success_rate: float | None  #: delivered of what was finished, from 0 to 1
    queue_depth: dict[str, int]  #: by lane: notifications that wait on the bus
    latency_seconds: Latency


class TraceEntry(msgspec.Struct, kw_only=True, gc=False):
    """One line of a trace."""

    id: UUID
    event: str
    correlation_id: str
    created_at: UtcTime
    details: msgspec.Raw


class Trace(msgspec.Struct, kw_only=True):
    """Everything that happened to one notification, oldest first."""

    notification_id: UUID
    entries: list[TraceEntry]


class ReceiptTaken(msgspec.Struct, kw_only=True):
    """What became of a receipt."""

    outcome: ReceiptOutcome


class Health(msgspec.Struct):
    """A service that is well."""

    status: str = "ok"
