from typing import Any

import pytest
from hypothesis import given, strategies as st

from console.model import Model
from console.model.counters import Amounts, Counters
from console.model.lanes import LAG_SECONDS, LaneMeter
from console.model.views import LaneHealth, LaneView
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from tests.unit.console.world import (
    CONNECTED,
    NOON,
    SMS_HIGH,
    backlog,
    changed,
    reading,
    reported,
    state,
)


def sms_high(model: Model, now: float) -> LaneView:
    model.tick(now)
    return next(v for v in model.snapshot(now).lanes if v.key == "sms/high")


def dispatching(
    seconds: int,
    *,
    per_second: int = 10,
    failed: int = 0,
    queued: int = 0,
    model: Model | None = None,
    **changes: Any,
) -> Model:
    """A model that watched a dispatcher settle at an even pace until NOON."""
    if model is None:
        model = Model()
        model.apply(CONNECTED, NOON - seconds - 1)
    for second in range(seconds + 1):
        at = NOON - seconds + second
        lane = reading(
            in_flight=4, delivered=second * per_second, retried=second * failed
        )
        lanes = [lane, *(reading(other) for other in LANES if other != SMS_HIGH)]
        model.apply(reported(at, lanes=lanes, **changes), at)
        model.apply(backlog({SMS_HIGH: queued}), at)
    return model


class TestCounters:
    def test_the_first_report_of_a_running_process_only_gives_a_mark(self):
        counters = Counters()
        first = state(NOON, lanes=[reading(delivered=1_000_000)])

        assert counters.amounts(first, listening_seconds=60) == Amounts()

    def test_a_process_born_while_listening_counts_from_zero(self):
        counters = Counters()
        first = state(NOON, started_at=NOON - 0.8, lanes=[reading(delivered=7)])

        amounts = counters.amounts(first, listening_seconds=60)

        assert amounts.span == pytest.approx(0.8)
        assert amounts.lanes[SMS_HIGH].delivered == 7

    def test_a_restarted_process_counts_from_zero_again(self):
        counters = Counters()
        counters.amounts(state(NOON, lanes=[reading(delivered=900)]), 60)
        again = state(NOON + 2, started_at=NOON + 1, lanes=[reading(delivered=5)])

        assert counters.amounts(again, 60).lanes[SMS_HIGH].delivered == 5

    def test_counters_that_fell_count_from_zero_again(self):
        counters = Counters()
        counters.amounts(state(NOON, lanes=[reading(delivered=900, failed=2)]), 60)
        fallen = state(NOON + 1, lanes=[reading(delivered=901, failed=1)])

        amount = counters.amounts(fallen, 60).lanes[SMS_HIGH]

        assert (amount.delivered, amount.failed) == (901, 1)

    def test_a_report_that_came_twice_or_late_counts_nothing(self):
        counters = Counters()
        counters.amounts(state(NOON, lanes=[reading(delivered=10)]), 60)
        newer = state(NOON + 1, lanes=[reading(delivered=20)])
        counters.amounts(newer, 60)

        late = state(NOON + 0.5, lanes=[reading(delivered=15)])
        assert counters.amounts(newer, 60) == Amounts()
        assert counters.amounts(late, 60) == Amounts()

    def test_what_happened_in_a_long_silence_is_in_no_second(self):
        counters = Counters()
        counters.amounts(state(NOON, lanes=[reading(delivered=10)]), 600)
        after = state(NOON + 41, lanes=[reading(delivered=99_000)])

        assert counters.amounts(after, 600) == Amounts()

        later = state(NOON + 42, lanes=[reading(delivered=99_010)])
        assert counters.amounts(later, 600).lanes[SMS_HIGH].delivered == 10

    @given(
        st.lists(st.tuples(st.integers(0, 500), st.booleans()), min_size=1, max_size=40)
    )
    def test_amounts_are_what_happened_whatever_restarts(self, seconds):
        counters = Counters()
        total, counted, born = 0, 0, NOON - 5
        counters.amounts(state(NOON, started_at=born, lanes=[reading()]), 1)
        happened = counted_now = 0
        for number, (amount, restarts) in enumerate(seconds, 1):
            at = NOON + number
            if restarts:
                born, total = at - 0.5, 0
            total += amount
            happened += amount
            report = state(at, started_at=born, lanes=[reading(delivered=total)])
            amounts = counters.amounts(report, listening_seconds=number).lanes
            counted_now = amounts[SMS_HIGH].delivered if amounts else 0
            counted += counted_now

        assert counted == happened


class TestRates:
    def test_a_rate_is_what_is_settled_per_second(self):
        view = sms_high(dispatching(20, per_second=10, failed=2), NOON)

        assert view.rate == pytest.approx(12)

    def test_rates_of_several_dispatchers_add_up(self):
        model = dispatching(20, per_second=10)
        dispatching(20, per_second=5, model=model, instance="host-2")

        view = sms_high(model, NOON)

        assert view.rate == pytest.approx(15)
        assert view.in_flight == 8

    def test_a_restart_is_no_spike_and_no_dip_below_zero(self):
        model = dispatching(20, per_second=10)
        for second in range(1, 10):
            at = NOON + second
            lanes = [reading(delivered=10 * second)]
            model.apply(reported(at, started_at=NOON, lanes=lanes, pid=2), at)

        trend = sms_high(model, NOON + 9).trend

        assert pytest.approx(trend[-20:]) == [10.0] * 20

    def test_a_lane_without_reports_has_a_gap_and_no_rate(self):
        model = dispatching(20, per_second=10)
        model.apply(backlog(), NOON + 30)

        view = sms_high(model, NOON + 30)

        assert view.rate is None
        assert view.trend[-20:] == (None,) * 20
        assert 10.0 in view.trend

    def test_the_share_of_failures_is_of_the_last_minute(self):
        model = dispatching(60, per_second=9, failed=1)

        assert sms_high(model, NOON).failing == pytest.approx(0.1)
        assert sms_high(dispatching(60, per_second=0), NOON).failing is None

    def test_failures_are_counted_by_class(self):
        model = dispatching(3)
        for failure in (FailureClass.TRANSIENT,) * 3 + (FailureClass.PERMANENT,):
            event = changed(NOON, status=Status.RETRYING, failure_class=failure)
            model.apply(event, NOON)

        failures = sms_high(model, NOON + 1).failures

        assert failures == {FailureClass.TRANSIENT: 3, FailureClass.PERMANENT: 1}
        assert list(failures) == [FailureClass.TRANSIENT, FailureClass.PERMANENT]

    def test_the_oldest_message_grows_older(self):
        model = dispatching(3)
        lanes = [
            item if Lane(item.channel, item.priority) != SMS_HIGH else item_with(item)
            for item in backlog(1).lanes
        ]
        model.apply(type(backlog())(lanes=lanes), NOON)

        assert sms_high(model, NOON + 1).oldest_seconds == pytest.approx(61)


def item_with(item: Any) -> Any:
    return type(item)(
        channel=item.channel,
        priority=item.priority,
        queued=item.queued,
        unacked=0,
        oldest_at=NOON - 60,
    )


class TestHealth:
    def test_unknown_until_the_bus_has_said(self):
        model = Model()
        model.apply(CONNECTED, NOON)

        assert sms_high(model, NOON).health is LaneHealth.UNKNOWN

    def test_idle_when_nothing_waits_and_nothing_goes(self):
        assert sms_high(dispatching(20, per_second=0), NOON).health is LaneHealth.IDLE

    def test_flowing_when_attempts_succeed(self):
        assert sms_high(dispatching(20), NOON).health is LaneHealth.FLOWING

    def test_unserved_when_no_dispatcher_takes_the_lane(self):
        model = Model()
        model.apply(CONNECTED, NOON - 10)
        model.apply(backlog(), NOON)

        assert sms_high(model, NOON).health is LaneHealth.UNSERVED

    def test_not_unserved_before_every_dispatcher_had_time_to_report(self):
        model = Model()
        model.apply(CONNECTED, NOON - 2)
        model.apply(backlog(5), NOON)

        assert sms_high(model, NOON).health is LaneHealth.WAITING

    def test_unserved_once_the_last_dispatcher_is_lost(self):
        model = dispatching(20, queued=5)
        for second in range(1, 6):
            model.apply(backlog({SMS_HIGH: 5}), NOON + second)
            model.tick(NOON + second)

        view = sms_high(model, NOON + 5)

        assert view.health is LaneHealth.UNSERVED
        assert view.in_flight is None

    def test_stalled_when_work_waits_and_nothing_is_settled(self):
        stalled = dispatching(20, per_second=0, queued=5)
        not_yet = dispatching(10, per_second=0, queued=5)

        assert sms_high(stalled, NOON).health is LaneHealth.STALLED
        assert sms_high(not_yet, NOON).health is LaneHealth.WAITING

    def test_a_stall_is_not_invented_while_the_bus_is_silent(self):
        model = dispatching(10, per_second=0, queued=5)

        assert sms_high(model, NOON + 100).health is LaneHealth.WAITING

    def test_failing_when_a_fifth_of_the_attempts_fail(self):
        assert (
            sms_high(dispatching(30, per_second=8, failed=2), NOON).health
            is LaneHealth.FAILING
        )
        assert (
            sms_high(dispatching(30, per_second=9, failed=1), NOON).health
            is LaneHealth.FLOWING
        )

    def test_two_failures_do_not_make_a_lane_failing(self):
        model = dispatching(10, per_second=0)
        lanes = [reading(retried=2)]
        model.apply(reported(NOON + 1, lanes=lanes), NOON + 1)

        assert sms_high(model, NOON + 2.5).health is not LaneHealth.FAILING

    def test_at_limit_when_the_channel_sends_as_fast_as_it_may(self):
        limits = {Channel.SMS: 10.0}

        at_limit = dispatching(20, per_second=10, queued=500, limits=limits)
        below = dispatching(20, per_second=9, queued=500, limits=limits)
        no_queue = dispatching(20, per_second=10, queued=3, limits=limits)

        assert sms_high(at_limit, NOON).health is LaneHealth.AT_LIMIT
        assert sms_high(below, NOON).health is LaneHealth.FLOWING
        assert sms_high(no_queue, NOON).health is LaneHealth.FLOWING

    def test_at_limit_as_soon_as_the_channel_lacks_tokens(self):
        """The rate needs seconds to become the limit's."""
        model = dispatching(20, per_second=0, limits={Channel.SMS: 10.0})
        lanes = [reading(delivered=5), *(reading(o) for o in LANES if o != SMS_HIGH)]
        waited = {Channel.SMS: 0.8}

        model.apply(backlog({SMS_HIGH: 500}), NOON + 1)
        model.apply(reported(NOON + 1, lanes=lanes, throttled_seconds=waited), NOON + 1)

        assert sms_high(model, NOON + 1.1).health is LaneHealth.AT_LIMIT

    def test_not_at_limit_any_more_when_tokens_are_there_again(self):
        model = dispatching(
            20, per_second=5, queued=500, throttled_seconds={Channel.SMS: 9.0}
        )

        assert sms_high(model, NOON).health is LaneHealth.FLOWING


def test_the_newest_second_shown_is_complete():
    """A report speaks for the second before it, and the next may be a little late."""
    meter = LaneMeter(SMS_HIGH)
    for second in range(10):
        meter.settled(NOON + second, 1.0, reading(delivered=10))
    just_before_the_next = NOON + 10 + LAG_SECONDS - 1.01

    assert meter.flow(just_before_the_next).delivered[-1] == pytest.approx(10)


def test_lanes_come_in_order_of_channel_and_urgency():
    views = Model().snapshot(NOON).lanes

    assert [view.key for view in views] == [str(lane) for lane in LANES]
    assert views[0].priority is Priority.HIGH
