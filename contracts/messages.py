"""Messages on the bus: frozen structs with the version in the tag.

Readers ignore fields they do not know. A field may be added with a default; it is never
retyped, renamed or reused. A breaking change is a new tag, accepted beside the old one.
Golden files in ``tests/contracts/`` hold one example of each tag for ever.
"""

from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from contracts.receipts import Receipt
from contracts.times import UtcTime as UtcTime

CORRELATION_HEADER = "Tocsin-Correlation-Id"
TRACEPARENT_HEADER = "traceparent"
MESSAGE_ID_HEADER = "Nats-Msg-Id"
IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAY_HEADER = "Idempotent-Replay"
AUTHORIZATION_HEADER = "Authorization"
LOCATION_HEADER = "Location"
RETRY_AFTER_HEADER = "Retry-After"


class Message(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True
):
    """What travels on the bus."""


class NotificationQueued(Message, frozen=True, tag="notification.queued.v1"):
    """A notification waits for a dispatcher; its body stays in the ledger."""

    notification_id: UUID


class StatusChanged(Message, frozen=True, tag="status.changed.v1"):
    """A notification has a new status.

    ``sequence`` rises by one with every change of one notification, so a reader can tell
    a repeated or an older event from a newer one.
    """

    notification_id: UUID
    tenant: str
    channel: Channel
    priority: Priority
    status: Status
    attempts: int
    sequence: int
    at: UtcTime
    correlation_id: str
    batch_id: UUID | None = None
    failure_class: FailureClass | None = None
    provider: str | None = None


class ReceiptArrived(Message, frozen=True, tag="receipt.arrived.v1"):
    """A provider told more of a notification. Its status is what it was, and so is ``sequence``.

    Told once for each receipt, in the order they came; ``receipt.rank`` says which is newer.
    """

    notification_id: UUID
    tenant: str
    channel: Channel
    priority: Priority
    status: Status
    attempts: int
    sequence: int
    status_at: UtcTime  #: when it came to that status
    receipt: Receipt
    correlation_id: str
    batch_id: UUID | None = None


class DeadLettered(Message, frozen=True, tag="dead_letter.v1"):
    """A notification was given up. Its recipient and body stay in the ledger."""

    notification_id: UUID
    tenant: str
    channel: Channel
    priority: Priority
    attempts: int
    failure_class: FailureClass
    reason: str
    at: UtcTime
    correlation_id: str
    batch_id: UUID | None = None
    provider: str | None = None


class OperatorActed(Message, frozen=True, tag="operator.acted.v1"):
    """An operator changed something, and it is done."""

    id: UUID  #: of the entry in the audit
    action: str  #: dotted, as in ``lane.paused``
    target: str  #: a lane, a provider, a channel, or an id
    who: str
    reason: str
    at: UtcTime
    tenant: str


AnyMessage = (
    NotificationQueued | StatusChanged | ReceiptArrived | DeadLettered | OperatorActed
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """Write a message as JSON."""
    return _encoder.encode(message)


def decode(payload: bytes) -> AnyMessage:
    """Read a message; ``msgspec.ValidationError`` when the tag or a field is unknown to us."""
    return _decoder.decode(payload)


def queueing_id(notification_id: UUID, sequence: int) -> str:
    """Return the ``Nats-Msg-Id`` of one queueing of a notification.

    Publishing the same queueing again is a duplicate; the next queueing is not.
    """
    return f"{notification_id}:{sequence}"
