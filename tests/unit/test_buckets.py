"""The arithmetic of token buckets."""

import pytest
from hypothesis import given, strategies as st

from ops.runtime.buckets import Bucket, Pace

paces = st.builds(
    Pace, st.floats(min_value=0.5, max_value=50_000), st.integers(1, 5_000)
)
steps = st.lists(
    st.tuples(st.floats(min_value=0, max_value=0.5), st.integers(0, 500)), max_size=60
)


@given(paces, steps)
def test_a_bucket_never_grants_more_than_its_rate_and_its_size(
    pace: Pace, waits: list[tuple[float, int]]
) -> None:
    bucket = Bucket(pace, 0.0)
    now = 0.0
    granted = 0
    for seconds, wanted in waits:
        now += seconds
        grant = bucket.take(wanted, pace, now)
        assert 0 <= grant.tokens <= wanted
        granted += grant.tokens

    assert granted <= pace.per_second * now + 1


@given(paces, st.integers(1, 500))
def test_a_token_is_there_when_it_was_announced(pace: Pace, wanted: int) -> None:
    bucket = Bucket(pace, 0.0)
    bucket.take(wanted, pace, 0.0)
    wait = bucket.take(wanted, pace, 0.0).wait_seconds

    assert wait > 0
    assert bucket.take(1, pace, wait + 1e-6).tokens == 1


@given(paces, st.integers(1, 5_000), st.integers(0, 5_000))
def test_all_that_is_needed_is_there_when_it_was_announced(
    pace: Pace, fewest: int, there: int
) -> None:
    bucket = Bucket(pace, 0.0, min(there, pace.size))
    grant = bucket.take(fewest, pace, 0.0, fewest=fewest)
    if not grant.tokens:
        later = grant.wait_seconds + 1e-6
        grant = bucket.take(fewest, pace, later, fewest=fewest)

    assert grant.tokens == fewest


@given(paces, st.integers(1, 5_000), st.integers(0, 5_000), st.integers(0, 5_000))
def test_nothing_is_granted_rather_than_less_than_needed(
    pace: Pace, fewest: int, more: int, there: int
) -> None:
    bucket = Bucket(pace, 0.0, min(there, pace.size))
    grant = bucket.take(fewest + more, pace, 0.0, fewest=fewest)

    assert grant.tokens == 0 or fewest <= grant.tokens <= fewest + more


def test_more_than_the_bucket_holds_makes_a_debt() -> None:
    pace = Pace(10, 20)
    bucket = Bucket(pace, 0.0, there=20)
    assert tuple(bucket.take(50, pace, 0.0, fewest=50)) == pytest.approx((50, 5.0, 0))
    assert bucket.take(1, pace, 2.9).tokens == 0
    assert bucket.take(1, pace, 3.11).tokens == 1


@given(paces)
def test_a_rested_bucket_is_full(pace: Pace) -> None:
    bucket = Bucket(pace, 0.0)

    assert bucket.take(1_000_000, pace, 36_000.0).tokens == pace.size


def test_a_new_bucket_is_empty() -> None:
    assert Bucket(Pace(100, 10), 5.0).take(10, Pace(100, 10), 5.0).tokens == 0


def test_a_grant_says_what_is_left() -> None:
    pace = Pace(100, 10)
    bucket = Bucket(pace, 0.0, there=10)

    assert bucket.take(4, pace, 0.0) == (4, 0.0, 6)


def test_a_charge_delays_the_next_token_up_to_the_debt() -> None:
    pace = Pace(10, 3)
    bucket = Bucket(pace, 0.0)
    bucket.charge(5, pace, 100.0, debt_seconds=2)
    assert bucket.take(0, pace, 100.0).wait_seconds == pytest.approx(0.3)
    bucket.charge(1000, pace, 100.0, debt_seconds=2)
    grant = bucket.take(1, pace, 100.0)
    assert grant.tokens == 0
    assert grant.wait_seconds == pytest.approx(2.1)
