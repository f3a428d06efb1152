import pytest
from hypothesis import given, strategies as st

from console.model.rings import SecondsRing

NOON = 1_000_000.0


def filled(seconds: int = 60) -> SecondsRing:
    """A ring that knows zero for each of its seconds."""
    ring = SecondsRing(seconds)
    for second in range(seconds):
        ring.add(NOON - seconds + second, 0)
    return ring


def test_a_second_nobody_spoke_for_is_a_gap_and_not_a_zero():
    ring = SecondsRing(10)
    ring.add(NOON, 3)
    ring.add(NOON + 2, 0)

    assert ring.last(NOON + 3, 3) == [3, None, 0]


def test_an_amount_is_shared_by_the_seconds_it_came_in():
    ring = filled()
    ring.spread(NOON - 4.5, NOON - 1.5, 30)

    assert pytest.approx(ring.last(NOON, 6)) == [0, 5, 10, 10, 5, 0]


def test_part_of_a_second_does_not_pass_for_the_whole():
    ring = SecondsRing(10)
    ring.spread(NOON + 0.5, NOON + 2.0, 30)

    assert ring.last(NOON + 2, 2) == [None, 20.0]


def test_what_is_older_than_the_ring_is_gone():
    ring = filled(10)
    ring.add(NOON - 1, 5)
    ring.add(NOON + 8, 7)

    assert ring.last(NOON + 9, 10) == [5.0] + [None] * 8 + [7.0]
    assert ring.last(NOON - 2, 3) == [None] * 3


def test_a_late_amount_still_finds_its_second():
    ring = filled(10)
    ring.add(NOON + 2, 1)
    ring.add(NOON - 3, 4)

    assert ring.total(NOON - 2, 1) == 4


def test_the_mean_counts_only_seconds_that_are_known():
    ring = SecondsRing(10)
    ring.add(NOON, 4)
    ring.add(NOON + 2, 6)

    assert ring.mean(NOON + 3, 3) == 5
    assert SecondsRing(10).mean(NOON, 5) is None


def test_a_gauge_keeps_the_last_value_of_its_second():
    ring = SecondsRing(10)
    ring.put(NOON + 0.1, 8)
    ring.put(NOON + 0.9, 9)

    assert ring.last(NOON + 1, 1) == [9]


spans = st.lists(
    st.tuples(st.floats(0, 40), st.floats(0.01, 5), st.floats(0, 1e6)), max_size=20
)


@given(spans)
def test_nothing_is_lost_or_made_within_known_seconds(spans):
    ring = filled(60)
    for start, length, amount in spans:
        ring.spread(NOON - 50 + start, NOON - 50 + start + length, amount)

    total = sum(amount for _, _, amount in spans)
    assert ring.total(NOON, 60) == pytest.approx(total)


@given(st.lists(st.tuples(st.integers(-500, 500), st.floats(0, 100)), max_size=50))
def test_it_agrees_with_a_plain_dictionary_whatever_the_order(amounts):
    ring, newest = SecondsRing(60), None
    plain: dict[int, float] = {}
    for offset, amount in amounts:
        newest = offset if newest is None else max(newest, offset)
        if offset > newest - 60:
            plain[offset] = plain.get(offset, 0.0) + amount
        ring.add(NOON + offset, amount)

    end = 0 if newest is None else newest + 1
    expected = [plain.get(offset) for offset in range(end - 60, end)]
    assert ring.last(NOON + end, 60) == pytest.approx(expected)
