"""Translates submissions into what the spool keeps, and back into answers."""

from datetime import datetime

import msgspec

from contracts.ids import time_of
from contracts.lifecycle import Status
from contracts.spool import SpooledAnswer, SpooledNotification, SpooledSubmission
from gateway.store import StoredAnswer
from gateway.submissions import KeyOwner, NewNotification, Reservation, Submission
from gateway.views import NotificationView


def spooled(submission: Submission, at: datetime) -> SpooledSubmission:
    """Return a submission as the spool keeps it from ``at`` on."""
    first = submission.notifications[0]
    batch, reservation = submission.batch, submission.reservation
    return SpooledSubmission(
        id=first.id if batch is None else batch.id,
        tenant=first.tenant,
        correlation_id=first.correlation_id,
        at=at,
        notifications=[_notification(one) for one in submission.notifications],
        is_batch=batch is not None,
        answer=None if reservation is None else _answer(reservation),
    )


def _notification(new: NewNotification) -> SpooledNotification:
    return SpooledNotification(
        id=new.id,
        channel=new.channel,
        priority=new.priority,
        max_attempts=new.max_attempts,
        recipient=new.recipient,
        content=new.content,
        subject=new.subject,
        traceparent=new.traceparent,
        metadata=new.metadata,
        due_at=new.due_at,
        scheduled_at=new.scheduled_at,
        expires_at=new.expires_at,
        template_id=new.template_id,
    )


def _answer(reservation: Reservation) -> SpooledAnswer:
    return SpooledAnswer(
        endpoint=reservation.endpoint,
        key=reservation.key,
        body_hash=reservation.body_hash,
        response=reservation.response,
        expires_at=reservation.expires_at,
    )


def answered_by(entry: SpooledSubmission, owner: KeyOwner) -> StoredAnswer | None:
    """Return what the key of a submission was answered, if it is ``owner``'s."""
    answer = entry.answer
    if answer is None:
        return None
    if KeyOwner(entry.tenant, answer.endpoint, answer.key) != owner:
        return None
    return StoredAnswer(answer.body_hash, answer.response, entry.correlation_id)


def view_of(entry: SpooledSubmission) -> NotificationView | None:
    """Return the one notification of a submission as it is shown; None for a batch."""
    if entry.is_batch:
        return None
    [kept] = entry.notifications
    created_at = time_of(kept.id)
    return NotificationView(
        id=kept.id,
        channel=kept.channel,
        recipient=kept.recipient,
        content=kept.content,
        status=Status.QUEUED if kept.due_at is None else Status.PENDING,
        priority=kept.priority,
        attempts=0,
        max_attempts=kept.max_attempts,
        created_at=created_at,
        updated_at=created_at,
        correlation_id=entry.correlation_id,
        template_id=kept.template_id,
        idempotency_key=None if entry.answer is None else entry.answer.key,
        metadata=None if kept.metadata is None else msgspec.Raw(kept.metadata.encode()),
        scheduled_at=kept.scheduled_at,
        expires_at=kept.expires_at,
    )
