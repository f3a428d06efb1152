"""What operators ask for: queries of lists, bodies of operations."""

from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.operations import (
    DEFAULT_RATE_PER_SECOND,
    RATE_AT_MOST_PER_SECOND,
    REASON_AT_MOST_CHARACTERS,
    LetterFilter,
    Resolution,
)
from contracts.outcomes import FailureClass
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.filters import Query, time_rule
from gateway.requests import decode, in_utc

LIMIT_DEFAULT = 20
LIMIT_AT_MOST = 100

#: The state of a dead letter that nobody has resolved.
OPEN = "open"
_STATES = {OPEN: OPEN, "all": None, **{str(state): state for state in Resolution}}

#: Of every filter a query may have.
_RULES = {
    "channel": f"channel is one of {', '.join(Channel)}",
    "priority": f"priority is one of {', '.join(Priority)}",
    "class": f"class is one of {', '.join(FailureClass)}",
    "reason": "reason is what an attempt failed for",
    "failed_after": time_rule("failed_after"),
    "failed_before": time_rule("failed_before"),
}

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
    asked = Query(query)
    state = asked.text("state") or OPEN
    if state not in _STATES:
        raise Refusal.of_parameter("state", f"state is one of {', '.join(_STATES)}")
    cursor = asked.text("cursor")
    try:
        before = _LAST_ID if cursor is None else UUID(cursor)
    except ValueError:
        raise Refusal.of_parameter(
            "cursor", "cursor is the next_cursor of a page"
        ) from None
    limit = asked.limit_within(LIMIT_AT_MOST, LIMIT_DEFAULT)
    return Asked(_filter_in(asked), _STATES[state], before, limit)


def _filter_in(query: Query) -> LetterFilter:
    values = {
        name: value
        for name, value in query.texts().items()
        if name not in {"limit", "state", "cursor"}
    }
    if unknown := sorted(values.keys() - _RULES.keys()):
        raise Refusal.of_parameter(unknown[0], f"there is no filter {unknown[0]}")
    try:
        which = msgspec.convert(values, LetterFilter)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        raise Refusal.of_parameter(name, _RULES[name]) from error
    return _in_utc(which)


def _in_utc(which: LetterFilter, at: str = "") -> LetterFilter:
    """Return a filter with its times in UTC, which not every time has."""
    return msgspec.structs.replace(
        which,
        **{
            name: in_utc(moment, ProblemType.BAD_REQUEST, f"{at}/{name}")
            for name in ("failed_after", "failed_before")
            if (moment := getattr(which, name)) is not None
        },
    )


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
    asked.filter = _in_utc(asked.filter, "/filter")
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
