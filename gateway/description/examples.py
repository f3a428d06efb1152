"""Examples that the documents show: made of the types they are examples of."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from contracts.channels import LANES, Channel, Priority
from contracts.ids import time_of
from contracts.lifecycle import Status
from contracts.messages import OperatorActed
from contracts.operations import OperationKind, OperationState
from contracts.oversight import Action, AuditEntry, Effect
from contracts.problems import FieldError, Problem, ProblemType
from gateway.letter_views import OperationView
from gateway.views import (
    BatchAccepted,
    BatchView,
    Latency,
    NotificationView,
    Summary,
    TemplateView,
    Trace,
    TraceEntry,
)

BATCH_ID = UUID("01934c1e-6e00-7000-8000-0000000000ba")
NOTIFICATION_ID = UUID("01934c1e-6e00-7000-8000-0000000000a1")
CORRELATION_ID = "order-4711"

_CREATED_AT = time_of(NOTIFICATION_ID)
_DELIVERED_AT = datetime(2024, 11, 21, 9, 53, 37, 215000, tzinfo=UTC)

SMS: dict[str, Any] = {
    "channel": "sms",
    "recipient": "+15555550001",
    "content": "Your parcel arrives today.",
}
EMAIL: dict[str, Any] = {
    "channel": "email",
    "recipient": "someone@example.com",
    "subject": "Your parcel",
    "content": "It arrives today between nine and eleven.",
    "priority": "high",
    "metadata": {"order": 4711},
}
LATER: dict[str, Any] = {
    "channel": "push",
    "recipient": "a-device-token",
    "content": "Doors open at nine.",
    "priority": "low",
    "scheduled_at": "2031-01-31T08:00:00+01:00",
    "expires_at": "2031-01-31T12:00:00+01:00",
    "max_attempts": 3,
}

ACCEPTED = NotificationView(
    id=NOTIFICATION_ID,
    channel=Channel.SMS,
    recipient=SMS["recipient"],
    content=SMS["content"],
    status=Status.QUEUED,
    priority=Priority.NORMAL,
    attempts=0,
    max_attempts=5,
    created_at=_CREATED_AT,
    updated_at=_CREATED_AT,
    correlation_id=CORRELATION_ID,
)
DELIVERED = msgspec.structs.replace(
    ACCEPTED,
    status=Status.DELIVERED,
    attempts=1,
    updated_at=_DELIVERED_AT,
    provider="webhook",
    provider_message_id="m-1",
    last_attempted_at=_DELIVERED_AT,
    delivered_at=_DELIVERED_AT,
)
CANCELLED = msgspec.structs.replace(
    ACCEPTED,
    status=Status.CANCELLED,
    updated_at=_DELIVERED_AT,
    cancelled_at=_DELIVERED_AT,
)
TEMPLATE_ID = UUID("01934c1e-6e00-7000-8000-0000000000ff")
TEMPLATE_ASKED: dict[str, Any] = {
    "name": "parcel-shipped",
    "channel": "email",
    "subject": "Your parcel {{ number }}",
    "body": "Dear {{ customer.name }}, it is on its way.",
}
TEMPLATE = TemplateView(
    id=TEMPLATE_ID,
    name=TEMPLATE_ASKED["name"],
    channel=Channel.EMAIL,
    body=TEMPLATE_ASKED["body"],
    subject=TEMPLATE_ASKED["subject"],
    created_at=time_of(TEMPLATE_ID),
    updated_at=time_of(TEMPLATE_ID),
)
FROM_TEMPLATE: dict[str, Any] = {
    "channel": "email",
    "recipient": "someone@example.com",
    "template_id": str(TEMPLATE_ID),
    "template_variables": {"number": 4711, "customer": {"name": "Ada"}},
}
LETTERS_ASKED: dict[str, Any] = {
    "filter": {"channel": "sms", "class": "transient"},
    "reason": "the provider is back",
    "rate_per_second": 20,
}
ERASURE_ASKED: dict[str, Any] = {
    "recipient": "someone@example.com",
    "reason": "asked for on 2026-11-27",
}
AUDIT_ENTRY = AuditEntry(
    id=TEMPLATE_ID,
    action=Action.LANE_PAUSED,
    target="sms.low",
    who="Ada",
    reason="the provider asked us to",
    at=time_of(TEMPLATE_ID),
    tenant="default",
    effect=Effect.DONE,
    details={"previous": None},
)
OPERATOR_ACTED = OperatorActed(
    id=AUDIT_ENTRY.id,
    action=AUDIT_ENTRY.action,
    target=AUDIT_ENTRY.target,
    who=AUDIT_ENTRY.who,
    reason=AUDIT_ENTRY.reason,
    at=AUDIT_ENTRY.at,
    tenant=AUDIT_ENTRY.tenant,
)
SUMMARY = Summary(
    created_per_minute=1200,
    delivered_per_minute=1180,
    failed_per_minute=3,
    success_rate=0.9975,
    queue_depth={str(lane): 0 for lane in LANES},
    latency_seconds=Latency(p50=0.04, p95=0.2, p99=0.9),
)
BATCH_ACCEPTED = BatchAccepted(
    id=BATCH_ID,
    size=1,
    correlation_id=CORRELATION_ID,
    created_at=time_of(BATCH_ID),
)
BATCH = BatchView(
    id=BATCH_ID,
    size=1,
    correlation_id=CORRELATION_ID,
    created_at=time_of(BATCH_ID),
    counts={status: int(status is Status.DELIVERED) for status in Status},
    notifications=[msgspec.structs.replace(DELIVERED, batch_id=BATCH_ID)],
)


def _entry(number: int, event: str, **details: Any) -> TraceEntry:
    id_ = UUID(int=NOTIFICATION_ID.int + (number << 80) + number)
    return TraceEntry(
        id=id_,
        event=event,
        correlation_id=CORRELATION_ID,
        created_at=time_of(id_),
        details=msgspec.Raw(msgspec.json.encode(details)),
    )


TRACE = Trace(
    notification_id=NOTIFICATION_ID,
    entries=[
        _entry(1, "created"),
        _entry(2, "queued"),
        _entry(3, "processing", attempt=1),
        _entry(4, "delivered", attempt=1, provider="webhook", outcome="delivered"),
    ],
)


def operation(kind: OperationKind) -> OperationView:
    """Return an operation of a kind that has just begun."""
    asked = ERASURE_ASKED if kind is OperationKind.ERASE else LETTERS_ASKED
    return OperationView(
        id=TEMPLATE_ID,
        kind=kind,
        state=OperationState.RUNNING,
        who="acme/on-call",
        reason=asked["reason"],
        filter=msgspec.Raw(msgspec.json.encode(asked.get("filter", {}))),
        total=12,
        done=0,
        refused=0,
        created_at=time_of(TEMPLATE_ID),
        updated_at=time_of(TEMPLATE_ID),
    )


def problem(kind: ProblemType) -> Problem:
    """Return a problem of a kind."""
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=_DETAILS.get(kind, kind.title),
        instance="/api/v1/notifications",
        correlation_id=CORRELATION_ID,
        errors=[FieldError(_POINTERS[kind], _DETAILS[kind])]
        if kind in _POINTERS
        else [],
    )


_DETAILS = {
    ProblemType.NOT_FOUND: "there is no notification with this id",
    ProblemType.INVALID_CHANNEL: "channel is one of sms, email, push",
    ProblemType.INVALID_PRIORITY: "priority is one of high, normal, low",
    ProblemType.INVALID_RECIPIENT: "an SMS goes to a number like +15555550001",
    ProblemType.INVALID_CONTENT: "content is empty",
    ProblemType.INVALID_STATUS: f"status is one of {', '.join(Status)}",
    ProblemType.INVALID_TEMPLATE_NAME: "name is empty",
    ProblemType.INVALID_TEMPLATE_BODY: "body is empty",
    ProblemType.TEMPLATE_RENDER_FAILED: "the variable number is missing",
    ProblemType.TEMPLATE_EXISTS: "another template has this name",
    ProblemType.TEMPLATE_IN_USE: (
        "notifications made from this template are not final yet"
    ),
    ProblemType.INVALID_TRANSITION: (
        "the notification is delivered and cannot become cancelled"
    ),
    ProblemType.INVALID_BATCH_SIZE: "a batch has 1 to 1000 notifications, this one has 0",
    ProblemType.INVALID_SCHEDULE: (
        "a time is written with its offset, like 2026-01-31T09:00:00Z (RFC 3339)"
    ),
    ProblemType.MALFORMED_BODY: "the body is not valid JSON",
    ProblemType.BAD_REQUEST: "X-Correlation-ID has 1 to 128 visible ASCII characters",
    ProblemType.UNAUTHORIZED: "the API key is unknown, expired or revoked",
    ProblemType.FORBIDDEN: "a key with the role reader may not do this",
    ProblemType.IDEMPOTENCY_KEY_MISMATCH: (
        "this Idempotency-Key was used with another body"
    ),
    ProblemType.IDEMPOTENCY_IN_PROGRESS: (
        "a request with this Idempotency-Key is still in progress"
    ),
    ProblemType.PAYLOAD_TOO_LARGE: "a body here has at most 1048576 bytes",
    ProblemType.UNSUPPORTED_MEDIA_TYPE: "send the body as application/json",
    ProblemType.RATE_LIMITED: "the rate limit is used up; try again later",
    ProblemType.OVERLOADED: (
        "more is waiting to be stored than the gateway takes; try again"
    ),
    ProblemType.DEPENDENCY_UNAVAILABLE: (
        "the ledger is not available; nothing was promised, try again"
    ),
    ProblemType.INTERNAL: "the request could not be completed",
}
_POINTERS = {
    ProblemType.INVALID_CHANNEL: "/channel",
    ProblemType.INVALID_PRIORITY: "/priority",
    ProblemType.INVALID_RECIPIENT: "/recipient",
    ProblemType.INVALID_CONTENT: "/content",
    ProblemType.INVALID_BATCH_SIZE: "/notifications",
    ProblemType.INVALID_SCHEDULE: "/scheduled_at",
    ProblemType.INVALID_TEMPLATE_NAME: "/name",
    ProblemType.INVALID_TEMPLATE_BODY: "/body",
    ProblemType.TEMPLATE_RENDER_FAILED: "/template_variables/number",
    ProblemType.TEMPLATE_EXISTS: "/name",
}

RECEIPT = {
    "type": "receipt.bounced",
    "timestamp": "2026-11-27T12:00:04Z",
    "data": {
        "notification_id": "019acf3e-5c00-7a4b-8c6d-0e1f2a3b4c5d",
        "code": "30003",
    },
}
