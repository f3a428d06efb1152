"""Every parameter of a query that is wrong is named, whichever list it is for."""

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlencode

import pytest

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.filters import Query
from gateway.letter_requests import read_letters_body, read_query
from gateway.ops_requests import audit_page, look_up, schedule_page
from gateway.routing import Call

#: In UTC these are outside of the calendar.
TOO_LATE = "9999-12-31T23:59:59-14:00"
TOO_EARLY = "0001-01-01T00:00:00+14:00"
LONG = "9" * 5_000


def notifications(query: bytes) -> object:
    return Query(query).filters(), Query(query).limit()


def of_a_call(read: Callable[[Call], object]) -> Callable[[bytes], object]:
    async def no_body(_at_most_bytes: int) -> bytes:
        return b""

    @wraps(read)
    def read_query_alone(query: bytes) -> object:
        return read(Call("GET", "/", {}, no_body, "c", query=query))

    return read_query_alone


audit, runs, found = map(of_a_call, (audit_page, schedule_page, look_up))


@pytest.mark.parametrize(
    ("read", "name", "value"),
    [
        (notifications, "status", "sent"),
        (notifications, "channel", "fax"),
        (notifications, "priority", "urgent"),
        (notifications, "batch_id", "7"),
        (notifications, "created_after", "yesterday"),
        (notifications, "created_before", TOO_EARLY),
        (notifications, "recipient", "a\0b"),
        (notifications, "limit", "ten"),
        *((read_query, "limit", value) for value in ("0", "101", "x", LONG)),
        (read_query, "state", "odd"),
        (read_query, "cursor", "x"),
        (read_query, "channel", "pigeon"),
        (read_query, "priority", "urgent"),
        (read_query, "class", "none"),
        (read_query, "failed_after", "yesterday"),
        (read_query, "failed_after", TOO_LATE),
        (read_query, "failed_after", TOO_EARLY),
        (read_query, "failed_before", "2031-01-01T00:00:00"),
        (read_query, "failed_before", TOO_LATE),
        (read_query, "chanel", "sms"),
        (audit, "before", "x"),
        (audit, "action", "none"),
        *((read, "limit", LONG) for read in (audit, runs)),
        (found, "recipient_hash", "x"),
        (found, "id", "x"),
    ],
    ids=lambda value: getattr(value, "__name__", value)[:30],
)
def test_a_parameter_that_is_wrong_is_named(
    read: Callable[[bytes], object], name: str, value: str
) -> None:
    with pytest.raises(Refusal) as caught:
        read(urlencode({name: value}).encode())

    [error] = caught.value.errors
    assert caught.value.problem.status == 400
    assert error.pointer == f"/{name}"
    assert not set("$`") & set(error.detail), "these are a parser's words"


@pytest.mark.parametrize("name", ["failed_after", "failed_before"])
@pytest.mark.parametrize("moment", [TOO_LATE, TOO_EARLY])
def test_a_body_names_a_time_that_is_none_in_utc(name: str, moment: str) -> None:
    body = f'{{"filter":{{"{name}":"{moment}"}},"reason":"r"}}'
    with pytest.raises(Refusal) as caught:
        read_letters_body(body.encode())

    assert caught.value.problem is ProblemType.BAD_REQUEST
    assert [error.pointer for error in caught.value.errors] == [f"/filter/{name}"]


def test_times_of_a_query_and_of_a_body_are_read_in_utc() -> None:
    late, early = "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00"
    which = read_query(urlencode({"failed_after": late}).encode()).which
    body = f'{{"filter":{{"failed_before":"{early}"}},"reason":"r"}}'

    assert which.failed_after is not None
    assert which.failed_after.isoformat() == "9999-12-31T09:59:59+00:00"
    before = read_letters_body(body.encode()).filter.failed_before
    assert before is not None
    assert before.isoformat() == "0001-01-01T14:00:00+00:00"
