import pytest

from console.events import BreakerHeard
from console.model import Model
from console.model.views import LaneHealth, LaneView, ProviderHealth, ProviderView
from console.readings import shares_of
from contracts.breakers import BreakerCondition
from contracts.channels import LANES, Channel
from tests.unit.console.world import (
    CONNECTED,
    LOST,
    NOON,
    SMS_HIGH,
    backlog,
    breaker,
    provider,
    reading,
    reported,
)

OPEN, HALF_OPEN = BreakerCondition.OPEN, BreakerCondition.HALF_OPEN


@pytest.fixture
def model() -> Model:
    model = Model()
    model.apply(CONNECTED, NOON - 60)
    return model


def acme(model: Model, at: float = NOON) -> ProviderView:
    model.tick(at)
    [view] = [v for v in model.snapshot(at).providers if v.name == "acme"]
    return view


def sms(model: Model, at: float = NOON) -> LaneView:
    model.tick(at)
    return next(v for v in model.snapshot(at).lanes if v.key == str(SMS_HIGH))


def agreed(condition: BreakerCondition, revision: int, **changes) -> BreakerHeard:
    state = breaker(NOON - 20, condition, **changes)
    return BreakerHeard(provider="acme", state=state, revision=revision)


class TestMerging:
    def test_counts_of_all_dispatchers_add_up(self, model):
        for instance, failures in (("a", 4), ("b", 7)):
            said = provider(sends=20, failures=failures, slow=1, revision=3)
            model.apply(reported(NOON, instance=instance, providers=[said]), NOON)

        view = acme(model)

        assert (view.sends, view.failures, view.slow) == (40, 11, 2)
        assert [one.instance for one in view.said] == ["a", "b"]

    def test_counts_of_a_breaker_s_earlier_state_are_left_out(self, model):
        for instance, revision in (("a", 3), ("b", 4)):
            said = provider(sends=20, revision=revision)
            model.apply(reported(NOON, instance=instance, providers=[said]), NOON)

        assert acme(model).sends == 20

    def test_the_slowest_dispatcher_s_latency_counts(self, model):
        for instance, seconds in (("a", 0.2), ("b", 3.1)):
            said = provider(sends=20, latency_p95_seconds=seconds)
            model.apply(reported(NOON, instance=instance, providers=[said]), NOON)

        assert acme(model).latency_p95_seconds == 3.1

    def test_a_provider_that_was_not_sent_to_has_no_latency(self, model):
        model.apply(reported(NOON, providers=[provider()]), NOON)

        assert acme(model).latency_p95_seconds is None

    def test_shares_are_the_mean_of_what_dispatchers_say(self, model):
        for instance, share in (("a", 0.5), ("b", 1.0)):
            said = provider(shares={Channel.SMS: share})
            model.apply(reported(NOON, instance=instance, providers=[said]), NOON)

        assert acme(model).shares == {Channel.SMS: 0.75}

    def test_rates_and_failures_come_from_counters(self, model):
        for second in range(21):
            at = NOON - 20 + second
            said = provider(attempts=10 * second, failed=3 * second, throttled=second)
            model.apply(reported(at, providers=[said]), at)

        view = acme(model)

        assert view.rate == pytest.approx(10)
        assert view.failing == pytest.approx(0.3)
        assert view.throttled == pytest.approx(20, abs=2)


class TestBreaker:
    def test_what_the_dispatchers_agreed_on_says_since_when_and_until_when(self, model):
        model.apply(
            reported(NOON, providers=[provider(breaker=OPEN, revision=9)]), NOON
        )
        model.apply(agreed(OPEN, 9, wait_seconds=30.0, openings=2), NOON)

        view = acme(model)

        assert view.health is ProviderHealth.OPEN
        assert view.since_seconds == 20
        assert view.next_probe_seconds == 10
        assert view.openings == 2

    def test_news_of_a_change_beats_reports_from_before_it(self, model):
        model.apply(reported(NOON, providers=[provider(revision=8)]), NOON)
        model.apply(agreed(OPEN, 9), NOON)

        assert acme(model).health is ProviderHealth.OPEN

    def test_reports_from_after_a_change_beat_what_was_read_earlier(self, model):
        model.apply(agreed(OPEN, 9), NOON)
        said = provider(breaker=HALF_OPEN, revision=10)
        model.apply(reported(NOON, providers=[said]), NOON)

        view = acme(model)

        assert view.health is ProviderHealth.HALF_OPEN
        assert view.since_seconds is None

    def test_one_held_by_an_operator_waits_for_no_probe(self, model):
        said = provider(breaker=OPEN, forced=True, revision=9)
        model.apply(reported(NOON, providers=[said]), NOON)
        model.apply(agreed(OPEN, 9, wait_seconds=30.0), NOON)

        view = acme(model)

        assert view.health is ProviderHealth.HELD
        assert view.next_probe_seconds is None

    def test_what_was_forgotten_says_nothing_any_more(self, model):
        model.apply(reported(NOON, providers=[provider(revision=9)]), NOON)
        model.apply(agreed(OPEN, 9), NOON)
        forgotten = BreakerHeard(provider="acme", state=None, revision=10)
        model.apply(forgotten, NOON)

        view = acme(model)

        assert view.health is ProviderHealth.CLOSED
        assert view.since_seconds is None


class TestSilence:
    def test_without_a_dispatcher_the_row_stays_and_says_that_nobody_knows(self, model):
        model.apply(reported(NOON - 9, providers=[provider(sends=3)]), NOON - 9)
        model.apply(backlog(), NOON)

        view = acme(model)

        assert view.health is ProviderHealth.UNKNOWN
        assert view.heard_seconds == 9
        assert [one.reading.sends for one in view.said] == [3]

    def test_a_dispatcher_that_lives_speaks_alone(self, model):
        model.apply(
            reported(NOON - 9, instance="dead", providers=[provider(sends=3)]), NOON - 9
        )
        model.apply(
            reported(NOON, instance="alive", providers=[provider(sends=4)]), NOON
        )

        view = acme(model)

        assert view.sends == 4
        assert [one.instance for one in view.said] == ["alive"]

    def test_a_provider_that_left_its_routes_leaves_the_table(self, model):
        model.apply(reported(NOON - 1, providers=[provider()]), NOON - 1)
        model.apply(reported(NOON, providers=[provider("other")]), NOON)

        assert [view.name for view in model.snapshot(NOON).providers] == ["other"]

    def test_a_lost_connection_keeps_what_was_known(self, model):
        model.apply(reported(NOON, providers=[provider(breaker=OPEN)]), NOON)
        model.apply(LOST, NOON + 1)

        assert acme(model, NOON + 60).health is ProviderHealth.OPEN


class TestFlow:
    def test_it_is_a_quarter_of_an_hour_with_gaps_where_nobody_spoke(self, model):
        for second in range(11):
            at = NOON - 10 + second
            said = provider(
                sends=9, attempts=5 * second, failed=second, latency_p95_seconds=0.3
            )
            model.apply(reported(at, providers=[said]), at)

        flow = model.provider_flow("acme", NOON + 1)

        assert len(flow.accepted) == len(flow.latency_p95_seconds) == 900
        assert flow.latency_p95_seconds[-1] == 0.3
        assert flow.accepted[-1] == pytest.approx(4)
        assert flow.failed[-1] == pytest.approx(1)
        assert set(flow.accepted[:800]) == {None}

    def test_one_nobody_has_spoken_of_has_none(self, model):
        assert set(model.provider_flow("nobody", NOON).accepted) == {None}


class TestLanes:
    def test_a_lane_shows_the_worst_breaker_of_its_channel(self, model):
        lanes = [reading(lane) for lane in LANES]
        providers = [provider("good"), provider(breaker=OPEN)]
        model.apply(reported(NOON, lanes=lanes, providers=providers), NOON)

        view = sms(model)

        assert view.breaker is ProviderHealth.OPEN
        assert (view.breakers_shut, view.providers) == (1, 2)

    def test_a_lane_without_providers_has_no_breaker(self, model):
        model.apply(reported(NOON, lanes=[reading()]), NOON)

        assert sms(model).breaker is None

    def test_latency_is_that_of_the_slowest_dispatcher(self, model):
        for instance, seconds in (("a", 0.2), ("b", 3.1)):
            lanes = [reading(latency_p95_seconds=seconds)]
            model.apply(reported(NOON, instance=instance, lanes=lanes), NOON)

        assert sms(model).latency_p95_seconds == 3.1

    def test_a_lane_that_is_held_is_paused_and_not_stalled(self, model):
        for second in range(30):
            at = NOON - 30 + second
            model.apply(reported(at, lanes=[reading(paused=True)]), at)
            model.apply(backlog({SMS_HIGH: 500}), at)

        assert sms(model).health is LaneHealth.PAUSED

    def test_a_channel_says_how_long_it_waited_for_tokens(self, model):
        for second in range(31):
            at = NOON - 30 + second
            waited = {Channel.SMS: 0.5 * second, Channel.PUSH: 0.0}
            model.apply(reported(at, throttled_seconds=waited), at)

        channels = {view.channel: view for view in model.snapshot(NOON).channels}

        assert channels[Channel.SMS].throttled_share == pytest.approx(0.5)
        assert channels[Channel.PUSH].throttled_share == 0.0
        assert channels[Channel.EMAIL].throttled_share is None


def test_equal_shares_of_all_channels_are_said_once(model: Model):
    for shares, said in (
        (dict.fromkeys(Channel, 1.0), "all 100%"),
        ({Channel.SMS: 1.0, Channel.EMAIL: 1.0}, "sms 100%, email 100%"),
        (
            dict.fromkeys(Channel, 0.5) | {Channel.SMS: 1.0},
            "sms 100%, email 50%, push 50%",
        ),
        ({}, ""),
    ):
        model.apply(reported(NOON, providers=[provider(shares=shares)]), NOON)
        assert shares_of(acme(model)) == said
