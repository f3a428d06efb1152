"""What a list shall show, and the cursor that says where its next page begins."""

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.ids import lowest_id_at
from contracts.lifecycle import Status
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.validation import channel_of, parse_uuid

LIMIT_DEFAULT = 20
LIMIT_AT_MOST = 100

_FIELDS_AT_MOST = 100
_DIGITS_AT_MOST = 9
_NUMBER = re.compile(r"[+-]?[0-9]+")
_ID_BYTES = 16
_FINGERPRINT_BYTES = 8
_CURSOR = re.compile(r"[A-Za-z0-9_-]{32}")
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FIRST_ID = UUID(int=0)
_LAST_ID = UUID(int=(1 << 128) - 1)


class Range(NamedTuple):
    """Ids from ``first`` on, and below ``before``."""

    first: UUID = _FIRST_ID
    before: UUID = _LAST_ID

    def __and__(self, other: "Range") -> "Range":
        """Return what is in both."""
        return Range(max(self.first, other.first), min(self.before, other.before))

    @property
    def is_empty(self) -> bool:
        """Say that no id can be in it."""
        return self.first >= self.before


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What every item of a list has; None is anything."""

    status: Status | None = None
    channel: Channel | None = None
    priority: Priority | None = None
    batch_id: UUID | None = None
    recipient: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None
    recipient_hash: str | None = None  #: as ``contracts.oversight`` makes it
    created: Range = Range()

    @property
    def rejects(self) -> bool:
        """Say whether rows may have to be looked at only to be left out."""
        return msgspec.structs.replace(self, created=Range()) != Filters()


class Query:
    """The query of a URL. An empty parameter is absent; of several, the first counts."""

    def __init__(self, query: bytes) -> None:
        try:
            pairs = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_FIELDS_AT_MOST,
            )
        except (UnicodeDecodeError, ValueError) as error:
            raise Refusal(ProblemType.BAD_REQUEST, "the query is not valid") from error
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(name, value)
        for name, value in self._values.items():
            if "\0" in value:
                raise Refusal.of_parameter(name, "the query has a NUL character")

    def text(self, name: str) -> str | None:
        """Return a parameter as it was sent."""
        return self._values.get(name) or None

    def texts(self) -> dict[str, str]:
        """Return every parameter that is not empty."""
        return {name: value for name, value in self._values.items() if value}

    def limit_within(self, at_most: int, default: int) -> int:
        """Return how many items are wanted; what is out of bounds is refused."""
        given = self.text("limit")
        if given is None:
            return default
        if given.isascii() and given.isdigit() and len(given) <= _DIGITS_AT_MOST:
            limit = int(given)
            if 1 <= limit <= at_most:
                return limit
        raise Refusal.of_parameter("limit", f"limit is between 1 and {at_most}")

    def limit(self) -> int:
        """Return how long a page shall be; what is out of bounds becomes the default."""
        given = self.text("limit")
        if given is None:
            return LIMIT_DEFAULT
        if _NUMBER.fullmatch(given) is None:
            raise Refusal.of_parameter("limit", "limit is not a number")
        limit = int(given) if len(given) <= len(str(LIMIT_AT_MOST)) + 1 else 0
        return limit if 1 <= limit <= LIMIT_AT_MOST else LIMIT_DEFAULT

    def filters(self) -> Filters:
        """Return the filters of a list of notifications."""
        channel = self.text("channel")
        return Filters(
            status=self._status(),
            channel=None if channel is None else channel_of(channel, "/channel"),
            priority=self._priority(),
            batch_id=self.id("batch_id"),
            recipient=self.text("recipient"),
            correlation_id=self.text("correlation_id"),
            created=Range(self._created_after(), self._created_before()),
        )

    def _status(self) -> Status | None:
        given = self.text("status")
        if given is None:
            return None
        try:
            return Status(given)
        except ValueError:
            raise Refusal.of_parameter(
                "status",
                f"status is one of {', '.join(Status)}",
                ProblemType.INVALID_STATUS,
            ) from None

    def _priority(self) -> Priority | None:
        given = self.text("priority")
        if given is None:
            return None
        try:
            return Priority(given)
        except ValueError:
            raise Refusal.of_parameter(
                "priority",
                f"priority is one of {', '.join(Priority)}",
                ProblemType.INVALID_PRIORITY,
            ) from None

    def id(self, name: str) -> UUID | None:
        """Return an id, or None when there is none."""
        given = self.text(name)
        if given is None:
            return None
        id_ = parse_uuid(given)
        if id_ is None:
            raise Refusal.of_parameter(name, f"{name} is not a UUID")
        return id_

    def _created_after(self) -> UUID:
        moment = self._moment("created_after")
        if moment is None:
            return _FIRST_ID
        # an id holds whole milliseconds: the first one that is not earlier
        return _id_at(moment + _MILLISECOND - timedelta(microseconds=1))

    def _created_before(self) -> UUID:
        moment = self._moment("created_before")
        return _LAST_ID if moment is None else _id_at(moment + _MILLISECOND)

    def _moment(self, name: str) -> datetime | None:
        given = self.text(name)
        if given is None:
            return None
        try:
            moment = msgspec.convert(given, datetime)
            if moment.tzinfo is not None:
                return min(moment.astimezone(UTC), _latest())
        except (msgspec.ValidationError, OverflowError):
            pass
        raise Refusal.of_parameter(name, time_rule(name))


def time_rule(name: str) -> str:
    """Say how a time is written in a query."""
    return (
        f"{name} is written with its offset, like 2026-01-31T09:00:00Z (RFC 3339);"
        " a plus sign is %2B in a URL"
    )


def _latest() -> datetime:
    return datetime.max.replace(tzinfo=UTC) - timedelta(seconds=1)


def _id_at(moment: datetime) -> UUID:
    return _FIRST_ID if moment < _EPOCH else lowest_id_at(moment)


def write_cursor(after: UUID, what: bytes) -> str:
    """Return the cursor of the page that begins below an id of the list of ``what``."""
    return base64.urlsafe_b64encode(after.bytes + _fingerprint(what)).decode()


def read_cursor(cursor: str | None, what: bytes) -> Range:
    """Return where a page is; ``bad-request`` for a cursor of another list, or none of ours."""
    if cursor is None:
        return Range()
    if _CURSOR.fullmatch(cursor) is not None:
        try:
            decoded = base64.urlsafe_b64decode(cursor)
        except binascii.Error:
            decoded = b""
        if decoded[_ID_BYTES:] == _fingerprint(what):
            return Range(before=UUID(bytes=decoded[:_ID_BYTES]))
    raise Refusal.of_parameter(
        "cursor", "the cursor is none, or of a list with other filters"
    )


def _fingerprint(what: bytes) -> bytes:
    return hashlib.blake2b(what, digest_size=_FINGERPRINT_BYTES).digest()
