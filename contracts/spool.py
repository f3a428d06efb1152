"""What is accepted while the ledger is away, as it waits on the bus for the ledger.

One message is one submission: a notification, or a batch that is stored whole or not at
all. Unlike every other message it carries recipients and contents, for there is no other
place that has them; it is removed as soon as the ledger does.
"""

import zlib
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.messages import UtcTime

#: Shorter ones gain less than the reader has to do for it.
_COMPRESSED_FROM_BYTES = 64 << 10


class SpooledNotification(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False
):
    """One notification of a submission; tenant, correlation id and batch are its."""

    id: UUID
    channel: Channel
    priority: Priority
    max_attempts: int
    recipient: str
    content: str
    subject: str | None = None
    traceparent: str | None = None
    metadata: str | None = None  #: JSON
    due_at: UtcTime | None = None  #: when it waits for its time
    scheduled_at: UtcTime | None = None
    expires_at: UtcTime | None = None
    template_id: UUID | None = None


class SpooledAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The idempotency key of a submission, and what it was answered."""

    endpoint: str
    key: str
    body_hash: bytes
    response: bytes
    expires_at: UtcTime


class SpooledSubmission(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="type",
    tag="submission.spooled.v1",
):
    """What is moved into the ledger together."""

    id: UUID  #: of the notification, or of the batch
    tenant: str
    correlation_id: str
    at: UtcTime
    notifications: list[SpooledNotification]
    is_batch: bool = False
    answer: SpooledAnswer | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SpooledSubmission)


def encode(submission: SpooledSubmission) -> bytes:
    """Write a submission as JSON, and a large one compressed. May take a tenth of a second."""
    payload = _encoder.encode(submission)
    if len(payload) < _COMPRESSED_FROM_BYTES:
        return payload
    return zlib.compress(payload, level=1)


def decode(payload: bytes) -> SpooledSubmission:
    """Read a submission; ValueError when it is none."""
    if payload.startswith(b"{"):
        return _decoder.decode(payload)
    try:
        return _decoder.decode(zlib.decompress(payload))
    except zlib.error as error:
        raise ValueError(str(error)) from error
