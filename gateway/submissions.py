"""What is handed to the intake: accepted notifications, and what must commit with them."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Channel, Lane, Priority
from contracts.ids import time_of
from gateway.routing import Call
from gateway.validation import Draft


class NewNotification(NamedTuple):
    """One row to insert, in the order of the statement's parameters.

    Its time of creation is the one written in its id. ``due_at`` is set when it waits for
    its time; otherwise it is queued at once.
    """

    id: UUID
    tenant: str
    channel: Channel
    priority: Priority
    max_attempts: int
    recipient: str
    subject: str | None
    content: str
    correlation_id: str
    traceparent: str | None
    batch_id: UUID | None
    idempotency_key: str | None
    metadata: str | None
    due_at: datetime | None
    scheduled_at: datetime | None
    expires_at: datetime | None
    template_id: UUID | None
    reservation_id: UUID | None  #: the ``resource_id`` of the reservation it depends on

    @property
    def lane(self) -> Lane:
        """Return where it will queue."""
        return Lane(self.channel, self.priority)


def draft_notification(
    draft: Draft,
    id_: UUID,
    call: Call,
    *,
    traceparent: str | None,
    key: str | None,
    batch_id: UUID | None = None,
    reservation_id: UUID | None = None,
) -> NewNotification:
    """Return the row of an acceptable draft. It waits if its time is still to come."""
    scheduled_at = draft.scheduled_at
    waits = scheduled_at is not None and scheduled_at > time_of(id_)
    return NewNotification(
        id=id_,
        tenant=call.principal.tenant,
        channel=draft.channel,
        priority=draft.priority,
        max_attempts=draft.max_attempts,
        recipient=draft.recipient,
        subject=draft.subject,
        content=draft.content,
        correlation_id=call.correlation_id,
        traceparent=traceparent,
        batch_id=batch_id,
        idempotency_key=key,
        metadata=draft.metadata,
        due_at=scheduled_at if waits else None,
        scheduled_at=scheduled_at,
        expires_at=draft.expires_at,
        template_id=draft.template_id,
        reservation_id=reservation_id,
    )


class NewBatch(NamedTuple):
    """One batch to insert, in the order of the statement's parameters."""

    id: UUID
    tenant: str
    size: int
    last_id: UUID
    correlation_id: str
    reservation_id: UUID | None


class KeyOwner(NamedTuple):
    """What an idempotency key is unique within."""

    tenant: str
    endpoint: str  #: method and path
    key: str

    @property
    def digest(self) -> str:
        """Return what stands for it in other places: short however long it is, telling nothing."""
        words = "\0".join(self).encode()
        return hashlib.blake2b(words, digest_size=20).hexdigest()


class Reservation(NamedTuple):
    """The answer a key shall have, if it has none yet; in the order of the parameters."""

    tenant: str
    endpoint: str
    key: str
    body_hash: bytes
    resource_id: UUID
    response: bytes
    correlation_id: str
    expires_at: datetime

    @property
    def owner(self) -> KeyOwner:
        """Return what the key is unique within."""
        return KeyOwner(self.tenant, self.endpoint, self.key)


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is committed together or not at all.

    With a reservation it is committed only if the reservation's key is free.
    """

    notifications: Sequence[NewNotification]
    batch: NewBatch | None = None
    reservation: Reservation | None = None
