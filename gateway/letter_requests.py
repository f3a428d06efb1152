"""What operators ask for: queries of lists, bodies of operations."""

from typing import NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from contracts.operations import (
    DEFAULT_RATE_PER_SECOND,
    RATE_AT_MOST_PER_SECOND,
    REASON_AT_MOST_CHARACTERS,
    LetterFilter,
    Resolution,
)
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.requests import decode

LIMIT_DEFAULT = 20
LIMIT_AT_MOST = 100

#: The state of a dead letter that nobody has resolved.
OPEN = "open"
_STATES = {OPEN: OPEN, "all": None, **{str(state): state for state in Resolution}}

_FIELDS_AT_MOST = 100
_LAST_ID = UUID(int=(1 << 128) - 1)


class Asked(NamedTuple):
    """Which page of which dead letters."""

    which: LetterFilter
    state: str | None  #: None is any
    before: UUID
    limit: int


class LettersBody(msgspec.Struct, kw_only=True):
    """What to do with which dead letters. ``all`` stands for a filter that lets all pass."""

    filter: LetterFilter = LetterFilter()
    all: bool = False
    reason: str = ""
    rate_per_second: float = DEFAULT_RATE_PER_SECOND
    dry_run: bool = False


class ErasureBody(msgspec.Struct, kw_only=True):
    """Whom to erase."""

    recipient: str = ""
    reason: str = ""
    dry_run: bool = False


_letters = msgspec.json.Decoder(LettersBody)
_erasure = msgspec.json.Decoder(ErasureBody)


def read_query(query: bytes) -> Asked:
    """Read the query of a list; ``bad-request`` names the parameter that is wrong."""
    values = _values(query)
    limit = values.pop("limit", str(LIMIT_DEFAULT))
    state = values.pop("state", OPEN)
    cursor = values.pop("cursor", None)
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= LIMIT_AT_MOST):
        raise _refused(f"limit is between 1 and {LIMIT_AT_MOST}")
    if state not in _STATES:
        raise _refused(f"state is one of {', '.join(_STATES)}")
    try:
        before = _LAST_ID if cursor is None else UUID(cursor)
    except ValueError:
        raise _refused("cursor is the next_cursor of a page") from None
    known = set(LetterFilter.__struct_encode_fields__) - {"ids"}
    if unknown := sorted(values.keys() - known):
        raise _refused(f"there is no filter {unknown[0]}")
    try:
        which = msgspec.convert(values, LetterFilter)
    except msgspec.ValidationError as error:
        raise _refused(str(error).replace("`", "")) from error
    return Asked(which, _STATES[state], before, int(limit))


def read_letters_body(body: bytes) -> LettersBody:
    """Read what to do with dead letters, and check that it is meant."""
    asked = decode(_letters, body)
    if asked.all != (asked.filter == LetterFilter()):
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            "/filter",
            "say which dead letters: either a filter or all",
        )
    if not 0 < asked.rate_per_second <= RATE_AT_MOST_PER_SECOND:
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            "/rate_per_second",
            f"rate_per_second is above 0 and at most {RATE_AT_MOST_PER_SECOND:g}",
        )
    check_reason(asked.reason, needed=not asked.dry_run)
    return asked


def read_erasure_body(body: bytes) -> ErasureBody:
    """Read whom to erase."""
    asked = decode(_erasure, body)
    if not asked.recipient.strip():
        raise Refusal.of_field(
            ProblemType.INVALID_RECIPIENT, "/recipient", "recipient is empty"
        )
    check_reason(asked.reason, needed=not asked.dry_run)
    return asked


def check_reason(reason: str, *, needed: bool = True) -> None:
    """Raise ``bad-request`` unless it can be read later why something was done."""
    if len(reason) > REASON_AT_MOST_CHARACTERS or (needed and not reason.strip()):
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            "/reason",
            f"reason says why, in 1 to {REASON_AT_MOST_CHARACTERS} characters",
        )


def _values(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), errors="strict", max_num_fields=_FIELDS_AT_MOST
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise _refused("the query is not valid") from error
    if any("\0" in value for _, value in pairs):
        raise _refused("the query has a NUL character")
    return dict(reversed(pairs))  # of several, the first counts


def _refused(detail: str) -> Refusal:
    return Refusal(ProblemType.BAD_REQUEST, detail)
