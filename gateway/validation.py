"""What makes a notification acceptable, in the order the contract promises.

Channel, priority, template, recipient, content; then what is optional. Pure: no clock, no
I/O. The first thing that is wrong is the answer.
"""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from contracts import limits
from contracts.channels import Channel, Priority
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.requests import NotificationRequest

DEFAULT_MAX_ATTEMPTS = 5
MAX_ATTEMPTS_LIMIT = 10

_CHANNELS = {str(channel): channel for channel in Channel}
_PRIORITIES = {str(priority): priority for priority in Priority}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_encode = msgspec.json.Encoder().encode


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A notification that may be accepted."""

    channel: Channel
    priority: Priority
    recipient: str
    content: str
    max_attempts: int
    subject: str | None = None
    metadata: str | None = None  #: JSON
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None


def check(request: NotificationRequest, at: str = "") -> Draft:
    """Return what was asked for in its final form, or raise the ``Refusal`` it deserves.

    ``at`` is the JSON pointer of the request in its body.
    """
    channel = _channel(request.channel, at)
    priority = _priority(request.priority, at)
    if request.template_id is not None:
        _refuse_template(request.template_id, at)
    return Draft(
        channel=channel,
        priority=priority,
        recipient=_recipient(channel, request.recipient, at),
        content=_content(channel, request.content, at),
        subject=_subject(request.subject, at),
        metadata=_metadata(request.metadata, at),
        scheduled_at=_time(request.scheduled_at, f"{at}/scheduled_at"),
        expires_at=_time(request.expires_at, f"{at}/expires_at"),
        max_attempts=_max_attempts(request.max_attempts, at),
    )


def parse_uuid(text: str) -> UUID | None:
    """Read a UUID in its one canonical form, or return None."""
    return UUID(text) if _UUID.fullmatch(text) else None


def _channel(given: str | None, at: str) -> Channel:
    name = given or ""
    channel = _CHANNELS.get(name) or _CHANNELS.get(name.strip().lower())
    if channel is None:
        raise Refusal.of_field(
            ProblemType.INVALID_CHANNEL,
            f"{at}/channel",
            f"channel is one of {', '.join(Channel)}",
        )
    return channel


def _priority(given: str | None, at: str) -> Priority:
    if given is None:
        return Priority.NORMAL
    priority = _PRIORITIES.get(given)
    if priority is None:
        raise Refusal.of_field(
            ProblemType.INVALID_PRIORITY,
            f"{at}/priority",
            f"priority is one of {', '.join(Priority)}",
        )
    return priority


def _refuse_template(given: str, at: str) -> None:
    pointer = f"{at}/template_id"
    if parse_uuid(given) is None:
        raise Refusal.of_field(
            ProblemType.MALFORMED_BODY, pointer, "template_id is a UUID"
        )
    raise Refusal.of_field(
        ProblemType.NOT_FOUND, pointer, "there is no template with this id"
    )


def _recipient(channel: Channel, given: str | None, at: str) -> str:
    recipient = given or ""
    if fault := limits.recipient_fault(channel, recipient):
        raise Refusal.of_field(ProblemType.INVALID_RECIPIENT, f"{at}/recipient", fault)
    return recipient


def _content(channel: Channel, given: str | None, at: str) -> str:
    content = given or ""
    if fault := limits.content_fault(channel, content):
        raise Refusal.of_field(ProblemType.INVALID_CONTENT, f"{at}/content", fault)
    return content


def _subject(given: str | None, at: str) -> str | None:
    if not given:
        return None
    if fault := limits.subject_fault(given):
        raise Refusal.of_field(ProblemType.BAD_REQUEST, f"{at}/subject", fault)
    return given


def _metadata(given: dict[str, Any] | None, at: str) -> str | None:
    if given is None:
        return None
    try:
        text = _encode(given)
    except RecursionError as error:
        raise Refusal.of_field(
            ProblemType.MALFORMED_BODY,
            f"{at}/metadata",
            "metadata is nested too deeply",
        ) from error
    if fault := limits.metadata_fault(text):
        raise Refusal.of_field(ProblemType.BAD_REQUEST, f"{at}/metadata", fault)
    return text.decode()


def _time(given: str | None, pointer: str) -> datetime | None:
    if given is None:
        return None
    try:
        moment = msgspec.convert(given, datetime)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise Refusal.of_field(
        ProblemType.INVALID_SCHEDULE,
        pointer,
        "a time is written with its offset, like 2026-01-31T09:00:00Z (RFC 3339)",
    )


def _max_attempts(given: int | None, at: str) -> int:
    if given is None:
        return DEFAULT_MAX_ATTEMPTS
    if not 1 <= given <= MAX_ATTEMPTS_LIMIT:
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            f"{at}/max_attempts",
            f"max_attempts is between 1 and {MAX_ATTEMPTS_LIMIT}",
        )
    return given
