"""Request bodies: what clients send, before anything about it is known to be right.

Fields are typed as loosely as JSON allows a sensible mistake, so that a wrong value is
answered with the problem of its field and not with a parser's complaint. ``null`` is the
same as absent. Unknown fields are ignored.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from contracts.limits import BATCH_AT_MOST_ITEMS
from contracts.problems import ProblemType
from gateway.errors import Refusal

SINGLE_AT_MOST_BYTES = 1 << 20


class NotificationRequest(msgspec.Struct, gc=False):
    """One notification as it is asked for."""

    channel: str | None = None
    recipient: str | None = None
    content: str | None = None
    priority: str | None = None
    subject: str | None = None
    template_id: str | None = None
    template_variables: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    scheduled_at: str | None = None
    expires_at: str | None = None
    max_attempts: int | float | None = None


class TemplateRequest(msgspec.Struct, gc=False):
    """A template as it is asked for."""

    name: str | None = None
    channel: str | None = None
    body: str | None = None
    subject: str | None = None


class BatchRequest(msgspec.Struct, gc=False):
    """Many notifications that are accepted together or not at all."""

    notifications: list[NotificationRequest] | None = None


_Body = TypeVar("_Body")

_single = msgspec.json.Decoder(NotificationRequest)
_batch = msgspec.json.Decoder(BatchRequest)
_template = msgspec.json.Decoder(TemplateRequest)

_WHERE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def decode_single(body: bytes) -> NotificationRequest:
    """Read the body of a single notification; ``malformed-body`` when it is not one."""
    return decode(_single, body)


def decode_template(body: bytes) -> TemplateRequest:
    """Read the body of a template; ``malformed-body`` when it is not one."""
    return decode(_template, body)


def decode_batch(body: bytes) -> list[NotificationRequest]:
    """Read the members of a batch; there are between one and ``BATCH_AT_MOST_ITEMS``."""
    members = decode(_batch, body).notifications or []
    if not 1 <= len(members) <= BATCH_AT_MOST_ITEMS:
        raise Refusal.of_field(
            ProblemType.INVALID_BATCH_SIZE,
            "/notifications",
            f"a batch has 1 to {BATCH_AT_MOST_ITEMS} notifications, "
            f"this one has {len(members)}",
        )
    return members


def decode(decoder: msgspec.json.Decoder[_Body], body: bytes) -> _Body:
    """Read a body; ``malformed-body`` when it is not what the decoder wants."""
    if not body:
        raise Refusal(ProblemType.MALFORMED_BODY, "the body is empty")
    try:
        decoded = decoder.decode(body)
        # JSON spells NUL only like this; the ledger cannot store one. An escaped backslash
        # may look the same, so only a closer look refuses.
        if b"\\u0000" in body:
            _refuse_nul(body)
    except msgspec.ValidationError as error:
        raise _malformed_field(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(
            ProblemType.MALFORMED_BODY, "the body is not valid JSON"
        ) from error
    except RecursionError as error:
        raise Refusal(
            ProblemType.MALFORMED_BODY, "the body is nested too deeply"
        ) from error
    return decoded


def in_utc(moment: datetime, problem: ProblemType, pointer: str) -> datetime:
    """Return a time in UTC; a refusal in the first and the last hours of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Refusal.of_field(
            problem, pointer, "there is no such time in UTC"
        ) from error


def _malformed_field(complaint: str) -> Refusal:
    match = _WHERE.fullmatch(complaint)
    if match is None:
        return Refusal(ProblemType.MALFORMED_BODY, complaint.replace("`", ""))
    what, path = match.groups()
    pointer = "".join(
        f"/{name or index}" for name, index in _STEP.findall(path)
    )  # names are those of our own fields: nothing in them to escape
    return Refusal.of_field(
        ProblemType.MALFORMED_BODY, pointer, what.replace("`", "").lower()
    )


def _refuse_nul(body: bytes) -> None:
    for pointer, text in _strings("", msgspec.json.decode(body)):
        if "\0" in text:
            raise Refusal.of_field(
                ProblemType.MALFORMED_BODY, pointer, "NUL characters are not accepted"
            )


def _strings(pointer: str, value: Any) -> Iterator[tuple[str, str]]:
    """Walk over every string of a document, keys included, with its JSON pointer."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(f"{pointer}/{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            yield here, key
            yield from _strings(here, item)
