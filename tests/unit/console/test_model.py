import time

import msgspec
import pytest
from hypothesis import given, strategies as st

from console.events import BacklogRead, EventsDropped, LinkAnswered, LinkCondition
from console.model import Model
from contracts.lifecycle import Status
from tests.unit.console.world import (
    CONNECTED,
    LOST,
    NOON,
    backlog,
    busy,
    changed,
    reading,
    reported,
)


def watched() -> Model:
    model = Model()
    for at, event in busy(30):
        model.apply(event, at)
    return model


class TestStaleness:
    def test_news_of_the_last_three_seconds_is_not_stale(self):
        model = watched()

        assert not model.snapshot(NOON + 3.0).link.stale
        assert model.snapshot(NOON + 3.1).link.stale

    def test_old_numbers_stay_and_say_how_old_they_are(self):
        model = watched()
        before = model.snapshot(NOON)
        model.apply(LOST, NOON + 1)

        after = model.snapshot(NOON + 3600)

        assert after.link.age_seconds == 3600
        assert before.totals.queued == after.totals.queued
        assert before.totals.dead_letters == after.totals.dead_letters
        assert after.totals.rate is not None
        assert len(after.services) == len(before.services)

    def test_without_news_there_is_no_age(self):
        model = Model()
        model.apply(LOST, NOON)

        link = model.snapshot(NOON + 100).link

        assert link.age_seconds is None
        assert not link.stale

    def test_a_recording_that_ended_is_not_stale(self):
        model = watched()
        ended = msgspec.structs.replace(LOST, condition=LinkCondition.ENDED)
        model.apply(ended, NOON)

        assert not model.snapshot(NOON + 60).link.stale

    def test_the_time_to_the_next_attempt_runs_down(self):
        model = watched()
        model.apply(LOST, NOON)

        assert model.snapshot(NOON + 1).link.retry_in_seconds == pytest.approx(3)
        assert model.snapshot(NOON + 9).link.retry_in_seconds == 0

    def test_trends_show_a_gap_for_an_absence(self):
        model = watched()
        model.apply(LOST, NOON)
        model.apply(CONNECTED, NOON + 10)
        for second in range(11, 20):
            at = NOON + second
            lanes = [reading(delivered=10_000 + second * 5)]
            model.apply(reported(at, instance="mesh-7c2-305", pid=305, lanes=lanes), at)

        trend = model.snapshot(NOON + 20).lanes[0].trend

        # its first report gives the mark; from the second on it is known again
        gap, known = trend[-18:-8], trend[-7:]
        assert set(gap) == {None}
        assert known == pytest.approx([5.0] * 7)


class TestAbsence:
    def test_a_loss_is_told_once(self):
        model = watched()
        for attempt in range(3):
            model.apply(msgspec.structs.replace(LOST, attempt=attempt), NOON + attempt)

        told = [line for line in model.snapshot(NOON).notable if line.what == "link"]

        assert [line.words for line in told] == ["connection lost: connection refused"]

    def test_a_return_says_how_long_and_how_much_was_missed(self):
        model = Model()
        model.apply(CONNECTED, NOON)
        model.apply(backlog(status_sequence=100), NOON)
        for number in range(5):
            model.apply(changed(NOON, number), NOON)
        model.apply(LOST, NOON + 1)
        model.apply(CONNECTED, NOON + 42)
        model.apply(changed(NOON + 42, 7), NOON + 42)
        model.apply(backlog(status_sequence=100 + 5 + 312 + 1), NOON + 42)

        sentence = "back after 41 s, 312 events missed"
        assert list(model.notices) == [sentence]
        assert model.snapshot(NOON + 42).feed[-1].words == sentence

    def test_a_first_connection_is_no_return(self):
        model = Model()
        model.apply(LOST, NOON)
        model.apply(CONNECTED, NOON + 5)
        model.apply(backlog(), NOON + 5)

        assert not model.notices


class TestTotals:
    def test_lanes_add_up(self):
        model = watched()
        snapshot = model.snapshot(NOON)

        assert snapshot.totals.queued == sum(
            view.queued or 0 for view in snapshot.lanes
        )
        assert snapshot.totals.rate == pytest.approx(
            sum(view.rate or 0 for view in snapshot.lanes)
        )

    def test_what_nobody_said_is_not_zero(self):
        totals = Model().snapshot(NOON).totals

        assert (totals.queued, totals.rate, totals.dead_letters) == (None, None, None)

    def test_new_dead_letters_are_those_of_the_last_five_minutes(self):
        model = Model()
        for at, count in ((0, 100), (10, 104), (20, 103), (30, 106)):
            model.apply(backlog(dead_letters=count), NOON + at)

        assert model.snapshot(NOON + 40).totals.dead_letters_new == 7
        assert model.snapshot(NOON + 320).totals.dead_letters_new == 3
        assert model.snapshot(NOON + 340).totals.dead_letters_new == 0

    def test_a_bus_that_will_not_say_leaves_the_last_numbers(self):
        model = watched()
        queued = model.snapshot(NOON).totals.queued
        model.apply(BacklogRead(problem="JetStream does not answer"), NOON + 1)

        snapshot = model.snapshot(NOON + 1)

        assert snapshot.totals.queued == queued
        assert snapshot.link.problem == "JetStream does not answer"


def test_dropped_and_unreadable_events_are_counted():
    model = Model()
    model.apply(EventsDropped(slow=5), NOON)
    model.apply(EventsDropped(slow=1, unreadable=2), NOON)

    snapshot = model.snapshot(NOON)

    assert (snapshot.dropped, snapshot.unreadable) == (6, 2)


def test_a_clock_that_is_set_back_breaks_nothing():
    model = watched()
    for at, event in busy(5, until=NOON - 3600):
        model.apply(event, at)
    model.tick(NOON - 3600)

    snapshot = model.snapshot(NOON - 3600)

    assert snapshot.link.age_seconds == 0
    assert all((row.heard_seconds or 0) >= 0 for row in snapshot.services)


events = st.one_of(
    st.sampled_from([CONNECTED, LOST, LinkAnswered(seconds=0.1)]),
    st.builds(lambda n: changed(NOON, n, status=Status.QUEUED), st.integers(0, 9)),
    st.builds(
        lambda at, delivered, started: reported(
            NOON + at, started_at=NOON + started, lanes=[reading(delivered=delivered)]
        ),
        st.floats(0, 100),
        st.integers(0, 10**9),
        st.floats(-10, 100),
    ),
    st.builds(backlog, st.integers(0, 10**6)),
    st.builds(lambda words: BacklogRead(problem=words), st.sampled_from(["", "no"])),
)


@given(st.lists(st.tuples(st.floats(0, 200), events), max_size=60))
def test_any_news_in_any_order_can_be_drawn(told):
    model = Model()
    for offset, event in told:
        model.apply(event, NOON + offset)
        model.tick(NOON + offset)

    snapshot = model.snapshot(NOON + 200)

    assert msgspec.json.encode(snapshot)
    assert all(view.rate is None or view.rate >= 0 for view in snapshot.lanes)
    assert all(
        value is None or value >= 0 for view in snapshot.lanes for value in view.trend
    )


def test_twenty_thousand_events_are_taken_in_well_under_a_second():
    model, told = Model(), [changed(NOON, n) for n in range(20_000)]
    began = time.process_time()
    for event in told:
        model.apply(event, NOON)
    model.snapshot(NOON)

    # a tenth of this on a laptop
    assert time.process_time() - began < 1.0
