"""How a channel's tokens are divided among its lanes."""

from collections import Counter

from hypothesis import given, strategies as st

from contracts.channels import Priority
from dispatcher.shares import SHARES, Divider

MANY = 10_000
ALL_WAIT = dict.fromkeys(Priority, MANY)

wants = st.dictionaries(st.sampled_from(Priority), st.integers(0, 600))


@given(st.lists(st.tuples(st.integers(0, 500), wants), max_size=20))
def test_no_token_is_wasted_or_invented(
    rounds: list[tuple[int, dict[Priority, int]]],
) -> None:
    divider = Divider()
    for tokens, wanted in rounds:
        given_out = divider.divide(tokens, wanted)

        assert sum(given_out.values()) == min(tokens, sum(wanted.values()))
        for priority, count in given_out.items():
            assert 0 <= count <= wanted.get(priority, 0)


@given(st.integers(1, 500), st.integers(50, 200))
def test_shares_hold_over_time_however_few_tokens_come_at_once(
    tokens: int, rounds: int
) -> None:
    divider = Divider()
    total: Counter[Priority] = Counter()
    for _ in range(rounds):
        total.update(divider.divide(tokens, ALL_WAIT))

    for priority, share in SHARES.items():
        assert abs(total[priority] - share * tokens * rounds) <= 2


def test_what_a_lane_leaves_goes_to_the_most_urgent_that_waits() -> None:
    given_out = Divider().divide(
        100, {Priority.HIGH: 10, Priority.NORMAL: MANY, Priority.LOW: MANY}
    )

    assert given_out == {Priority.HIGH: 10, Priority.NORMAL: 85, Priority.LOW: 5}


def test_two_lanes_share_what_three_would() -> None:
    given_out = Divider().divide(100, {Priority.NORMAL: MANY, Priority.LOW: MANY})

    assert given_out == {Priority.HIGH: 0, Priority.NORMAL: 75, Priority.LOW: 25}


def test_a_lane_that_was_empty_has_saved_up_nothing() -> None:
    divider = Divider()
    for _ in range(100):
        divider.divide(10, {Priority.HIGH: MANY, Priority.LOW: 0})
    given_out = divider.divide(10, {Priority.HIGH: MANY, Priority.LOW: MANY})

    assert given_out[Priority.LOW] <= 1
