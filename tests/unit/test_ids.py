from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from contracts.ids import lowest_id_at, new_id, time_of

moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    timezones=st.just(UTC),
)


def test_an_id_is_a_version_7_uuid() -> None:
    id_ = new_id()

    assert id_.version == 7
    assert id_.variant == "specified in RFC 4122"


def test_ids_are_made_in_order() -> None:
    ids = [new_id() for _ in range(20_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_an_id_carries_the_time_it_was_made() -> None:
    before = datetime.now(UTC)
    made = time_of(new_id())
    after = datetime.now(UTC)

    assert before - timedelta(milliseconds=1) <= made <= after


@given(moments)
def test_the_lowest_id_of_a_moment_carries_its_millisecond(moment: datetime) -> None:
    expected = moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    assert time_of(lowest_id_at(moment)) == expected


@given(moments, moments)
def test_lowest_ids_are_in_the_order_of_their_moments(
    one: datetime, other: datetime
) -> None:
    if one <= other:
        assert lowest_id_at(one) <= lowest_id_at(other)
    else:
        assert lowest_id_at(one) >= lowest_id_at(other)


def test_the_lowest_id_of_a_moment_is_not_above_an_id_made_then() -> None:
    id_ = new_id()

    assert lowest_id_at(time_of(id_)) <= id_
    assert id_ < lowest_id_at(time_of(id_) + timedelta(milliseconds=1))


def test_a_moment_before_1970_has_no_id() -> None:
    with pytest.raises(ValueError, match="1969"):
        lowest_id_at(datetime(1969, 12, 31, tzinfo=UTC))
