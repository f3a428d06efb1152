"""The arithmetic of token buckets."""

import pytest
from hypothesis import given, strategies as st

from dispatcher.buckets import BURST_AT_LEAST, Bucket, burst_of
from dispatcher.peers import Peers

rates = st.floats(min_value=0.5, max_value=50_000)
steps = st.lists(
    st.tuples(st.floats(min_value=0, max_value=0.5), st.integers(0, 500)), max_size=60
)


@given(rates, steps)
def test_a_bucket_never_grants_more_than_its_rate_and_its_size(
    rate: float, waits: list[tuple[float, int]]
) -> None:
    bucket = Bucket(rate, 0.0)
    now = 0.0
    granted = 0
    for seconds, wanted in waits:
        now += seconds
        grant = bucket.take(wanted, rate, now)
        assert 0 <= grant.tokens <= wanted
        granted += grant.tokens

    assert granted <= rate * now + 1


@given(rates, st.integers(1, 500))
def test_a_token_is_there_when_it_was_announced(rate: float, wanted: int) -> None:
    bucket = Bucket(rate, 0.0)
    bucket.take(wanted, rate, 0.0)
    wait = bucket.take(wanted, rate, 0.0).wait_seconds

    assert wait > 0
    assert bucket.take(1, rate, wait + 1e-6).tokens == 1


@given(rates)
def test_a_rested_bucket_holds_one_burst(rate: float) -> None:
    bucket = Bucket(rate, 0.0)

    assert bucket.take(1_000_000, rate, 3600.0).tokens == burst_of(rate)


def test_a_new_bucket_is_empty() -> None:
    assert Bucket(100, 5.0).take(10, 100, 5.0).tokens == 0


def test_a_burst_covers_one_waiting_pull_for_each_lane() -> None:
    assert burst_of(0.5) == BURST_AT_LEAST == 3
    assert burst_of(100) == 10


def test_a_charge_delays_the_next_token_up_to_the_debt() -> None:
    bucket = Bucket(10, 0.0)
    bucket.charge(5, 10, 100.0, debt_seconds=2)
    assert bucket.take(0, 10, 100.0).wait_seconds == pytest.approx(0.3)
    bucket.charge(1000, 10, 100.0, debt_seconds=2)
    grant = bucket.take(1, 10, 100.0)
    assert grant.tokens == 0
    assert grant.wait_seconds == pytest.approx(2.1)


def test_peers_are_those_heard_of_lately() -> None:
    peers = Peers()
    assert peers.count(0.0) == 1
    peers.heard("one", 100.0)
    peers.heard("two", 103.0)
    assert peers.count(104.0) == 2
    assert peers.count(106.0) == 1
    assert peers.count(200.0) == 1
