"""Queries of lists, and cursors."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel, Priority
from contracts.ids import lowest_id_at, time_of
from contracts.lifecycle import Status
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.filters import Filters, Query, Range, read_cursor, write_cursor

LIST = b"a list"


def query(**parameters: str) -> Query:
    return Query(urlencode(parameters).encode())


def refusal(**parameters: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        query(**parameters).filters()
    return caught.value


def test_no_parameter_filters_nothing() -> None:
    empty = dict.fromkeys(["status", "recipient", "batch_id", "created_after"], "")

    assert query().filters() == query(**empty).filters() == Filters()


def test_every_filter_is_read() -> None:
    batch_id = uuid4()
    after = datetime(2026, 1, 2, tzinfo=UTC)

    assert query(
        status="failed",
        channel=" SMS ",
        priority="high",
        batch_id=str(batch_id),
        recipient="+15555550001",
        correlation_id="order 7",
        created_after="2026-01-02T01:00:00+01:00",
        created_before="2026-01-02T00:00:00Z",
    ).filters() == Filters(
        status=Status.FAILED,
        channel=Channel.SMS,
        priority=Priority.HIGH,
        batch_id=batch_id,
        recipient="+15555550001",
        correlation_id="order 7",
        created=Range(
            lowest_id_at(after), lowest_id_at(after + timedelta(milliseconds=1))
        ),
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("status", "sent", ProblemType.INVALID_STATUS),
        ("channel", "fax", ProblemType.INVALID_CHANNEL),
        ("priority", "urgent", ProblemType.INVALID_PRIORITY),
        ("batch_id", "7", ProblemType.BAD_REQUEST),
        ("created_after", "yesterday", ProblemType.BAD_REQUEST),
        ("created_before", "2026-01-01T00:00:00", ProblemType.BAD_REQUEST),
        ("created_before", "0001-01-01T00:00:00+10:00", ProblemType.BAD_REQUEST),
        ("recipient", "a\0b", ProblemType.BAD_REQUEST),
    ],
)
def test_a_bad_filter_is_answered_with_its_problem(
    name: str, value: str, problem: ProblemType
) -> None:
    assert refusal(**{name: value}).problem is problem


@pytest.mark.parametrize("raw", [b"recipient=%ff", b"recipient=\xff", b"a=b&" * 200])
def test_a_query_that_is_not_one_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        Query(raw)

    assert caught.value.problem is ProblemType.BAD_REQUEST


@pytest.mark.parametrize(
    ("given_limit", "limit"),
    [
        ("", 20),
        ("1", 1),
        ("+7", 7),
        ("007", 7),
        ("100", 100),
        ("101", 20),
        ("0", 20),
        ("-3", 20),
        ("9" * 10_000, 20),
    ],
)
def test_a_limit_out_of_bounds_becomes_the_default(
    given_limit: str, limit: int
) -> None:
    assert query(limit=given_limit).limit() == limit


@pytest.mark.parametrize("text", ["ten", "1.5", "1e1", "0x10", "\u0661", " 5", "-"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        query(limit=text).limit()


moments = st.datetimes(
    min_value=datetime.fromisoformat("1969-12-30"),
    max_value=datetime.fromisoformat("2500-01-01"),
    timezones=st.just(UTC),
)


@given(moments, st.integers(-3, 3))
def test_the_bounds_of_time_include_the_moments_themselves(
    moment: datetime, offset: int
) -> None:
    created = query(
        created_after=moment.isoformat(), created_before=moment.isoformat()
    ).filters()
    milliseconds = int(moment.timestamp() * 1000) + offset
    if milliseconds < 0:
        return
    id_ = UUID(int=milliseconds << 80 | 7)

    assert (id_ >= created.created.first) == (time_of(id_) >= moment)
    assert (id_ < created.created.before) == (time_of(id_) <= moment)


def test_times_beyond_all_ids_are_bounds_like_others() -> None:
    far = query(
        created_after="1700-01-01T00:00:00Z", created_before="9999-12-31T23:59:59Z"
    ).filters()

    assert far.created.first == Range().first
    assert far.created.before > lowest_id_at(datetime(9999, 12, 31, tzinfo=UTC))


@given(st.uuids(), st.binary(max_size=20))
def test_a_cursor_is_safe_in_a_url_and_says_where_to_go_on(
    id_: UUID, what: bytes
) -> None:
    cursor = write_cursor(id_, what)

    assert urlencode({"c": cursor}) == f"c={cursor}"
    assert read_cursor(cursor, what) == Range(before=id_)


def is_refused(cursor: str, what: bytes = LIST) -> bool:
    try:
        read_cursor(cursor, what)
    except Refusal as refusal:
        return refusal.problem is ProblemType.BAD_REQUEST
    return False


@given(st.text())
def test_a_cursor_nobody_wrote_is_refused(text: str) -> None:
    assert is_refused(text)


@given(st.uuids(), st.integers(0, 31), st.sampled_from("AZaz09-_=%+ "))
def test_a_cursor_that_was_changed_is_of_another_page_or_refused(
    id_: UUID, at: int, by: str
) -> None:
    cursor = write_cursor(id_, LIST)
    changed = cursor[:at] + by + cursor[at + 1 :]

    assert is_refused(changed) or read_cursor(changed, LIST).before.bytes != b"", (
        changed
    )
    if at >= 22:  # the fingerprint
        assert changed == cursor or is_refused(changed)


def test_a_cursor_of_another_list_is_refused() -> None:
    assert is_refused(write_cursor(uuid4(), b"another list"))


def test_all_filters_but_the_bounds_of_time_may_reject_rows() -> None:
    assert not Filters().rejects
    assert not Filters(created=Range(before=uuid4())).rejects
    assert Filters(recipient="x").rejects
    assert Filters(status=Status.FAILED).rejects
    assert Filters(batch_id=uuid4()).rejects
