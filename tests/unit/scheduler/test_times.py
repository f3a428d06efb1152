from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from scheduler.reconcile import lost_before
from scheduler.release import sleep_seconds
from scheduler.stream import LaneState

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_an_empty_lane_has_lost_all_but_the_margin():
    margin = timedelta(seconds=10)

    assert lost_before(NOW, timedelta(), None, None, margin) == NOW - margin


@given(
    age=st.timedeltas(timedelta(0), timedelta(days=7)),
    ahead=st.timedeltas(timedelta(days=-1), timedelta(days=1)),
)
def test_what_is_on_the_bus_is_not_lost_whatever_its_age_and_the_clocks_difference(
    age: timedelta, ahead: timedelta
):
    margin = timedelta(seconds=10)
    queued_at = NOW - age
    stored_at = queued_at + timedelta(seconds=4) + ahead

    before = lost_before(NOW, ahead, stored_at, None, margin)

    assert queued_at >= before
    assert before <= NOW - margin


def test_a_notification_stamped_by_a_clock_that_is_behind_is_not_lost():
    margin = timedelta(seconds=10)
    queued_at = NOW - timedelta(hours=1)

    assert lost_before(NOW, timedelta(), NOW, queued_at, margin) == queued_at - margin


def test_sleep_ends_at_the_next_due_time_and_at_the_poll_at_the_latest():
    assert sleep_seconds(None, 0.25) == 0.25
    assert sleep_seconds(10.0, 0.25) == 0.25
    assert sleep_seconds(0.1, 0.25) == 0.1


def test_rows_that_are_due_and_locked_by_another_do_not_make_it_spin():
    assert sleep_seconds(-5.0, 0.25) == 0.02


def test_orphans_are_what_is_neither_pending_nor_waiting_for_an_answer():
    assert LaneState(messages=10, deliverable=7, delivered_to=5).orphans == 3
    assert LaneState(messages=6, deliverable=7, delivered_to=5).orphans == 0
