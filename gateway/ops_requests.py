"""What operators ask of the mesh: bodies of changes, words of paths, queries."""

import re
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.controls import RATE_AT_MOST, BreakerOrder
from contracts.oversight import (
    AUDIT_AT_MOST,
    FOUND_AT_MOST,
    RECIPIENT_HASH_PATTERN,
    RUNS_AT_MOST,
    Action,
)
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.filters import Filters, Query
from gateway.letter_requests import check_reason
from gateway.requests import decode
from gateway.routing import Call

LIMIT_DEFAULT = 50

_LAST_ID = UUID(int=(1 << 128) - 1)
_HASH = re.compile(RECIPIENT_HASH_PATTERN)


class ReasonBody(msgspec.Struct, kw_only=True):
    """Why something is done."""

    reason: str = ""


class OrderBody(msgspec.Struct, kw_only=True):
    """What a breaker is to do."""

    order: str = ""
    reason: str = ""


class LimitBody(msgspec.Struct, kw_only=True):
    """What may be sent each second."""

    per_second: float | None = None
    reason: str = ""


_reason = msgspec.json.Decoder(ReasonBody)
_order = msgspec.json.Decoder(OrderBody)
_limit = msgspec.json.Decoder(LimitBody)


def reason_of(body: bytes) -> str:
    """Read why something is done."""
    asked = decode(_reason, body)
    check_reason(asked.reason)
    return asked.reason


def order_of(body: bytes) -> tuple[BreakerOrder, str]:
    """Read what a breaker is to do, and why."""
    asked = decode(_order, body)
    if asked.order not in set(BreakerOrder):
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            "/order",
            f"order is one of {', '.join(BreakerOrder)}",
        )
    check_reason(asked.reason)
    return BreakerOrder(asked.order), asked.reason


def limit_of(body: bytes) -> tuple[float, str]:
    """Read what may be sent each second, and why."""
    asked = decode(_limit, body)
    if asked.per_second is None or not 0 <= asked.per_second <= RATE_AT_MOST:
        raise Refusal.of_field(
            ProblemType.BAD_REQUEST,
            "/per_second",
            f"per_second is between 0, which is unlimited, and {RATE_AT_MOST:,}",
        )
    check_reason(asked.reason)
    return asked.per_second, asked.reason


def channel_in_path(word: str) -> Channel:
    """Read a channel; ``not-found`` when there is none of this name."""
    try:
        return Channel(word)
    except ValueError:
        raise Refusal(
            ProblemType.NOT_FOUND,
            f"there is no such channel; there are {', '.join(Channel)}",
        ) from None


def priority_in_path(word: str) -> Priority:
    """Read a priority; ``not-found`` when there is none of this name."""
    try:
        return Priority(word)
    except ValueError:
        raise Refusal(
            ProblemType.NOT_FOUND,
            f"there is no such priority; there are {', '.join(Priority)}",
        ) from None


def audit_page(call: Call) -> tuple[UUID, int, str | None]:
    """Read which page of the audit is wanted: below which id, how long, of which action."""
    query = Query(call.query)
    action = query.text("action")
    if action is not None and action not in set(Action):
        raise Refusal.of_parameter("action", f"action is one of {', '.join(Action)}")
    before = query.id("before") or _LAST_ID
    return before, query.limit_within(AUDIT_AT_MOST, LIMIT_DEFAULT), action


def schedule_page(call: Call) -> tuple[str | None, int]:
    """Read of which job runs are wanted, and how many."""
    query = Query(call.query)
    return query.text("job"), query.limit_within(RUNS_AT_MOST, LIMIT_DEFAULT)


def look_up(call: Call) -> tuple[Filters, UUID | None, int]:
    """Read what is looked up: by exactly one of an id and three filters."""
    query = Query(call.query)
    id_ = query.id("id")
    hash_ = query.text("recipient_hash")
    if hash_ is not None and _HASH.fullmatch(hash_) is None:
        raise Refusal.of_parameter(
            "recipient_hash", "recipient_hash is the first 16 hex digits of a SHA-256"
        )
    filters = Filters(
        idempotency_key=query.text("idempotency_key"),
        recipient=query.text("recipient"),
        recipient_hash=hash_,
    )
    given = (id_, filters.idempotency_key, filters.recipient, hash_)
    if sum(each is not None for each in given) != 1:
        raise Refusal(
            ProblemType.BAD_REQUEST,
            "look up by one of id, idempotency_key, recipient, recipient_hash",
        )
    return filters, id_, query.limit_within(FOUND_AT_MOST, LIMIT_DEFAULT)
