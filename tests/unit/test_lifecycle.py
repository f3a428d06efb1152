import random
from itertools import pairwise

from hypothesis import given, strategies as st

from contracts import lifecycle
from contracts.lifecycle import (
    CANCELLABLE,
    CLAIMABLE,
    FINAL,
    TRANSITIONS,
    Status,
    may_move,
)

BIRTH = (Status.PENDING, Status.QUEUED)


def reachable_from(start: Status) -> set[Status]:
    seen: set[Status] = set()
    waiting = [start]
    while waiting:
        status = waiting.pop()
        if status not in seen:
            seen.add(status)
            waiting += TRANSITIONS[status]
    return seen


@st.composite
def walks(draw: st.DrawFn) -> list[Status]:
    """The statuses of one notification, from its birth on, by legal moves only."""
    walk = [draw(st.sampled_from(BIRTH))]
    for _ in range(draw(st.integers(0, 30))):
        onwards = sorted(TRANSITIONS[walk[-1]])
        if not onwards:
            break
        walk.append(draw(st.sampled_from(onwards)))
    return walk


def test_every_status_has_its_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_every_status_can_be_reached() -> None:
    assert {s for birth in BIRTH for s in reachable_from(birth)} == set(Status)


@given(walks())
def test_every_walk_can_still_end(walk: list[Status]) -> None:
    assert reachable_from(walk[-1]) & FINAL


@given(walks(), st.randoms(use_true_random=False))
def test_a_walk_without_replays_ends_by_itself(
    walk: list[Status], rng: random.Random
) -> None:
    """A move that is chosen often enough is taken: no status traps a notification."""
    status, moves = walk[-1], 0
    while status not in FINAL:
        status = rng.choice(sorted(TRANSITIONS[status]))
        moves += 1
        assert moves < 1000


@given(walks())
def test_nothing_moves_out_of_delivered_or_cancelled(walk: list[Status]) -> None:
    assert not {Status.DELIVERED, Status.CANCELLED} & set(walk[:-1])


@given(walks())
def test_a_failed_notification_is_only_ever_replayed(walk: list[Status]) -> None:
    for before, after in pairwise(walk):
        if before is Status.FAILED:
            assert after is Status.QUEUED


@given(st.sampled_from(Status), st.sampled_from(Status))
def test_may_move_is_the_table(current: Status, new: Status) -> None:
    assert may_move(current, new) == (new in TRANSITIONS[current])


def test_no_status_moves_to_itself() -> None:
    assert not [s for s in Status if may_move(s, s)]


def test_only_a_dispatcher_makes_something_delivered() -> None:
    assert [s for s in Status if may_move(s, Status.DELIVERED)] == [Status.PROCESSING]


def test_claimable_is_what_may_become_processing() -> None:
    assert frozenset({Status.QUEUED, Status.RETRYING}) == CLAIMABLE


def test_cancellable_is_what_no_dispatcher_holds() -> None:
    assert frozenset({Status.PENDING, Status.QUEUED, Status.RETRYING}) == CANCELLABLE
    assert not CANCELLABLE & FINAL


def test_final_statuses_lead_nowhere_except_by_replay() -> None:
    assert {s for s in Status if TRANSITIONS[s] <= frozenset({Status.QUEUED})} == FINAL


def test_trace_events_never_share_a_name_with_a_status() -> None:
    names = {lifecycle.CREATED, *lifecycle.TraceEvent}

    assert not names & set(Status)
