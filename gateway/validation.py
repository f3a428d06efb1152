"""What makes a notification acceptable, in the order the contract promises.

Channel, priority, template, recipient, content; then what is optional. Pure: no clock, no
I/O. The first thing that is wrong is the answer.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from contracts import limits
from contracts.channels import Channel, Priority
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.requests import NotificationRequest
from gateway.templating import MissingVariable, Wording

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
    template_id: UUID | None = None
    metadata: str | None = None  #: JSON
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None


class Template(NamedTuple):
    """A template of the caller's tenant, ready to be filled in."""

    id: UUID
    channel: Channel
    body: Wording
    subject: Wording | None


class _Words(NamedTuple):
    content: str | None
    subject: str | None
    template_id: UUID | None = None


_NO_TEMPLATES: Mapping[UUID, Template] = MappingProxyType({})


def check(
    request: NotificationRequest,
    at: str = "",
    templates: Mapping[UUID, Template] = _NO_TEMPLATES,
) -> Draft:
    """Return what was asked for in its final form, or raise the ``Refusal`` it deserves.

    ``at`` is the JSON pointer of the request in its body; ``templates`` are those of the
    caller's tenant that the request may name. The words of a template stand in for
    ``content``, and for ``subject`` where the request has none.
    """
    channel = channel_of(request.channel, f"{at}/channel")
    priority = _priority(request.priority, at)
    if request.template_id is None:
        words = _Words(request.content, request.subject)
    else:
        words = _filled(request, request.template_id, channel, at, templates)
    return Draft(
        channel=channel,
        priority=priority,
        recipient=_recipient(channel, request.recipient, at),
        content=_content(channel, words.content, at),
        subject=_subject(words.subject, at),
        template_id=words.template_id,
        metadata=_metadata(request.metadata, at),
        scheduled_at=_time(request.scheduled_at, f"{at}/scheduled_at"),
        expires_at=_time(request.expires_at, f"{at}/expires_at"),
        max_attempts=_max_attempts(request.max_attempts, at),
    )


def parse_uuid(text: str) -> UUID | None:
    """Read a UUID in its one canonical form, or return None."""
    return UUID(text) if _UUID.fullmatch(text) else None


def channel_of(given: str | None, pointer: str) -> Channel:
    """Read a channel, trimmed and in any case; ``invalid-channel`` when it is none."""
    name = given or ""
    channel = _CHANNELS.get(name) or _CHANNELS.get(name.strip().lower())
    if channel is None:
        raise Refusal.of_field(
            ProblemType.INVALID_CHANNEL,
            pointer,
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


def _filled(
    request: NotificationRequest,
    named: str,
    channel: Channel,
    at: str,
    templates: Mapping[UUID, Template],
) -> _Words:
    pointer = f"{at}/template_id"
    id_ = parse_uuid(named)
    if id_ is None:
        raise Refusal.of_field(
            ProblemType.MALFORMED_BODY, pointer, "template_id is a UUID"
        )
    template = templates.get(id_)
    if template is None:
        raise Refusal.of_field(
            ProblemType.NOT_FOUND, pointer, "there is no template with this id"
        )
    if template.channel != channel:
        raise Refusal.of_field(
            ProblemType.TEMPLATE_RENDER_FAILED,
            pointer,
            f"the template is for {template.channel}, the notification for {channel}",
        )
    variables = _variables(request.template_variables, at)
    try:
        content = template.body.fill(variables, limits.CONTENT_AT_MOST_BYTES[channel])
        subject = request.subject
        if template.subject is not None and not subject:
            subject = template.subject.fill(variables, limits.SUBJECT_AT_MOST_BYTES)
    except MissingVariable as missing:
        words = "/".join(missing.path)  # identifiers: nothing in them to escape
        raise Refusal.of_field(
            ProblemType.TEMPLATE_RENDER_FAILED,
            f"{at}/template_variables/{words}",
            f"the variable {missing} is missing",
        ) from missing
    return _Words(content, subject, template.id)


def _variables(given: dict[str, Any] | None, at: str) -> dict[str, Any]:
    variables = given or {}
    pointer = f"{at}/template_variables"
    if len(_encoded(variables, pointer)) > limits.TEMPLATE_VARIABLES_AT_MOST_BYTES:
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            pointer,
            f"template_variables have at most {limits.TEMPLATE_VARIABLES_AT_MOST_BYTES}"
            " bytes as JSON",
        )
    return variables


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
    text = _encoded(given, f"{at}/metadata")
    if fault := limits.metadata_fault(text):
        raise Refusal.of_field(ProblemType.BAD_REQUEST, f"{at}/metadata", fault)
    return text.decode()


def _encoded(given: dict[str, Any], pointer: str) -> bytes:
    try:
        return _encode(given)
    except RecursionError as error:
        raise Refusal.of_field(
            ProblemType.MALFORMED_BODY, pointer, "it is nested too deeply"
        ) from error


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


def _max_attempts(given: int | float | None, at: str) -> int:
    if given is None:
        return DEFAULT_MAX_ATTEMPTS
    # 3.0 is as good an integer in JSON as 3 is.
    if isinstance(given, float) and not given.is_integer():
        raise Refusal.of_field(
            ProblemType.MALFORMED_BODY,
            f"{at}/max_attempts",
            "max_attempts is a whole number",
        )
    if not 1 <= given <= MAX_ATTEMPTS_LIMIT:
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            f"{at}/max_attempts",
            f"max_attempts is between 1 and {MAX_ATTEMPTS_LIMIT}",
        )
    return int(given)
