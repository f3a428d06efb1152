"""When breakers open, probe and close, whoever of the dispatchers acts first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel
from contracts.controls import BreakerOrder, BreakerOverride
from dispatcher.breakers import LEAST_HEALTH, PROBE_SECONDS, Breaker, HealthPolicy
from dispatcher.windows import Tally

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
POLICY = HealthPolicy()
CLOSED, HALF_OPEN, OPEN = (
    BreakerCondition.CLOSED,
    BreakerCondition.HALF_OPEN,
    BreakerCondition.OPEN,
)


class Provider:
    """One provider's breaker in several dispatchers, over one shared value."""

    def __init__(self, dispatchers: int = 1, policy: HealthPolicy = POLICY) -> None:
        self.now = 1000.0
        self.revision = 0
        self.written: list[BreakerState] = []
        self.breakers = [Breaker("acme", f"d{n}", policy) for n in range(dispatchers)]

    @property
    def first(self) -> Breaker:
        return self.breakers[0]

    @property
    def condition(self) -> BreakerCondition:
        [condition] = {breaker.condition for breaker in self.breakers}
        return condition

    def tick(self, seconds: float = 0.1) -> None:
        """Let every dispatcher write what it wants over what it last heard; the first wins."""
        self.now += seconds
        at = AT + timedelta(seconds=self.now)
        expected = self.revision
        for breaker in self.breakers:
            state = breaker.wanted(self.now, at, Tally())
            if state is not None and expected == self.revision:
                self.revision += 1
                self.written.append(state)
        for breaker in self.breakers:
            if self.written:
                breaker.heard(self.written[-1], self.revision, self.now)

    def send(self, count: int, *, failed: bool) -> None:
        for _ in range(count):
            self.first.record(self.now, 0.1, failed=failed, slow=False, probe=False)

    def open(self) -> None:
        self.send(POLICY.minimum_sends, failed=True)
        self.tick()
        assert self.condition is OPEN

    def prober(self) -> Breaker:
        [breaker] = [b for b in self.breakers if b.may_probe]
        return breaker

    def answer_probe(self, *, failed: bool) -> None:
        breaker = self.prober()
        breaker.probe()
        breaker.record(self.now, 0.1, failed=failed, slow=False, probe=True)
        self.tick()

    def order(self, order: BreakerOrder | None, minute: int = 0) -> None:
        at = AT + timedelta(minutes=minute)
        for breaker in self.breakers:
            breaker.order = (
                None if order is None else BreakerOverride(by="me", at=at, order=order)
            )


@given(st.integers(0, 100), st.integers(0, 100))
def test_it_opens_by_the_share_of_failures_in_enough_sends(good: int, bad: int) -> None:
    provider = Provider()
    provider.send(good, failed=False)
    provider.send(bad, failed=True)
    provider.tick()

    enough = good + bad >= POLICY.minimum_sends
    assert (provider.condition is OPEN) == (enough and bad >= good)


@pytest.mark.parametrize(
    ("concurrency", "timeout_seconds"), [(10, 15.0), (16, 10.0), (5, 15.0), (200, 60.0)]
)
def test_one_that_takes_few_at_a_time_opens_when_it_hangs(
    concurrency: int, timeout_seconds: float
) -> None:
    policy = POLICY.fitted(concurrency, timeout_seconds)
    provider = Provider(policy=policy)
    for n in range(2 * concurrency):
        provider.now = 1000.0 + (n + 1) * timeout_seconds / concurrency
        provider.send(1, failed=True)
        provider.tick(0)

    assert provider.written[0].condition is OPEN
    assert not policy.fails(Tally(2, 2, 0))


def test_one_that_takes_many_at_a_time_is_judged_by_as_many_as_was_said() -> None:
    assert POLICY.fitted(200, 5.0) == POLICY
    lenient = HealthPolicy(minimum_sends=2)
    assert lenient.fitted(10, 15.0) == lenient


def test_what_other_dispatchers_counted_counts() -> None:
    provider = Provider()
    provider.send(POLICY.minimum_sends // 2, failed=True)
    assert provider.first.wanted(provider.now, AT, Tally()) is None
    half = Tally(POLICY.minimum_sends // 2, POLICY.minimum_sends // 2, 0)
    wanted = provider.first.wanted(provider.now, AT, half)
    assert wanted is not None
    assert wanted.condition is OPEN
    well = Tally(1000, 0, 0)
    assert provider.first.wanted(provider.now, AT, well) is None


def test_one_dispatcher_probes_after_a_while() -> None:
    provider = Provider(3)
    provider.open()
    provider.tick(POLICY.open_seconds - 0.2)
    assert provider.condition is OPEN
    provider.tick(0.2)
    assert provider.condition is HALF_OPEN
    prober = provider.prober()
    prober.probe()
    assert not prober.may_probe


def test_a_probe_that_is_accepted_closes_it_everywhere() -> None:
    provider = Provider(3)
    provider.open()
    provider.tick(POLICY.open_seconds)
    provider.answer_probe(failed=False)

    assert provider.condition is CLOSED
    assert all(b.window.tally(provider.now) == Tally() for b in provider.breakers)


def test_each_failed_probe_doubles_the_wait_up_to_a_bound() -> None:
    provider = Provider()
    provider.open()
    waits = []
    for _ in range(6):
        waits.append(provider.written[-1].wait_seconds)
        provider.tick(waits[-1])
        provider.answer_probe(failed=True)
        assert provider.condition is OPEN

    assert waits == [5, 10, 20, 40, 60, 60]


def test_a_dispatcher_that_died_with_its_probe_is_replaced() -> None:
    provider = Provider(2)
    provider.open()
    provider.tick(POLICY.open_seconds)
    lost = provider.prober()
    lost.probe()
    provider.breakers.remove(lost)
    provider.tick(PROBE_SECONDS)

    assert provider.prober() is not lost


def test_sends_from_before_it_opened_decide_nothing() -> None:
    provider = Provider()
    provider.open()
    provider.tick(POLICY.open_seconds)
    provider.send(5, failed=False)
    provider.tick()

    assert provider.condition is HALF_OPEN


def test_channels_take_turns_to_probe() -> None:
    provider = Provider()
    provider.open()
    provider.tick(POLICY.open_seconds)
    breaker = provider.prober()

    assert breaker.reserve_probe(Channel.SMS, 0.0)
    assert not breaker.reserve_probe(Channel.EMAIL, 0.5)
    breaker.release_probe(Channel.EMAIL)
    assert breaker.reserve_probe(Channel.SMS, 0.5)
    breaker.release_probe(Channel.SMS)
    assert breaker.reserve_probe(Channel.EMAIL, 0.6)
    assert breaker.reserve_probe(Channel.SMS, 10.0)  # the other has nothing to send
    breaker.probe()
    assert not breaker.reserve_probe(Channel.SMS, 10.0)
    breaker.probe_lost()
    assert breaker.reserve_probe(Channel.SMS, 10.0)


def test_an_operator_holds_it_open_until_the_order_is_taken_back() -> None:
    provider = Provider()
    provider.order(BreakerOrder.OPEN)
    provider.tick(3600)
    assert provider.first.forced
    assert not provider.first.passes
    assert provider.first.shown is OPEN
    provider.order(None)
    assert provider.first.passes


def test_an_operator_has_it_probed_now_and_once() -> None:
    provider = Provider(2)
    provider.open()
    provider.order(BreakerOrder.PROBE)
    provider.tick()
    assert provider.condition is HALF_OPEN
    provider.answer_probe(failed=True)
    assert provider.condition is OPEN
    provider.tick()
    assert provider.condition is OPEN


def test_an_operator_closes_it_now_and_once() -> None:
    provider = Provider(2)
    provider.open()
    provider.order(BreakerOrder.RESET)
    provider.tick()
    assert provider.condition is CLOSED
    provider.open()
    provider.tick()
    assert provider.condition is OPEN
    provider.order(BreakerOrder.RESET, minute=1)
    provider.tick()
    assert provider.condition is CLOSED


def test_a_dispatcher_that_starts_later_does_not_repeat_an_order() -> None:
    provider = Provider()
    provider.order(BreakerOrder.PROBE)
    provider.tick()
    provider.answer_probe(failed=False)
    late = Breaker("acme", "late", POLICY)
    late.heard(provider.written[-1], provider.revision, provider.now)
    late.order = provider.first.order

    assert late.wanted(provider.now, AT, Tally()) is None


class Dispatchers(RuleBasedStateMachine):
    """Whatever happens in whatever order, at most one probe is out and open means open."""

    def __init__(self) -> None:
        super().__init__()
        self.provider = Provider(3)
        self.probes: list[Breaker] = []
        self.opened_at = -1e9

    @rule(which=st.integers(0, 2), count=st.integers(1, 30), failed=st.booleans())
    def send(self, which: int, count: int, failed: bool) -> None:
        breaker = self.provider.breakers[which]
        assume(breaker.passes)
        for _ in range(count):
            breaker.record(
                self.provider.now, 0.1, failed=failed, slow=False, probe=False
            )

    @rule(which=st.integers(0, 2))
    def begin_probe(self, which: int) -> None:
        breaker = self.provider.breakers[which]
        assume(breaker.may_probe)
        breaker.probe()
        self.probes.append(breaker)

    @rule(failed=st.booleans())
    def end_probe(self, failed: bool) -> None:
        assume(self.probes)
        self.probes.pop().record(
            self.provider.now, 0.1, failed=failed, slow=False, probe=True
        )

    @rule(seconds=st.floats(min_value=0.01, max_value=7))
    def wait(self, seconds: float) -> None:
        before = self.provider.condition
        self.provider.tick(seconds)
        if before is OPEN and self.provider.condition is not OPEN:
            wait = self.provider.now - self.opened_at
            assert wait >= POLICY.open_seconds - 1e-6
            assert self.provider.condition is HALF_OPEN
        if before is not OPEN and self.provider.condition is OPEN:
            self.opened_at = self.provider.now
        if self.provider.condition is not HALF_OPEN:
            self.probes = []  # what is left of them are stragglers

    @invariant()
    def everyone_agrees(self) -> None:
        assert self.provider.condition in BreakerCondition

    @invariant()
    def one_at_most_may_probe(self) -> None:
        assert sum(breaker.may_probe for breaker in self.provider.breakers) <= 1

    @invariant()
    def open_lets_nothing_pass(self) -> None:
        if self.provider.condition is not CLOSED:
            assert not any(breaker.passes for breaker in self.provider.breakers)


TestDispatchers = Dispatchers.TestCase


def test_health_falls_at_once_and_returns_evenly() -> None:
    well, slow = Tally(100, 0, 0), Tally(100, 0, 80)

    def after(
        health: float, tally: Tally, seconds: float, closed: bool = True
    ) -> float:
        return POLICY.health_after(
            health, tally, closed=closed, elapsed_seconds=seconds
        )

    assert after(1.0, well, 1, closed=False) == 0
    assert after(1.0, slow, 0.1) == LEAST_HEALTH
    assert LEAST_HEALTH < after(0.0, well, 3) < 0.2
    health = 0.0
    for _ in range(300):
        health = after(health, well, 0.1)
    assert health == 1


def test_a_few_slow_sends_move_nothing() -> None:
    assert not POLICY.lags(Tally(POLICY.minimum_sends - 1, 0, POLICY.minimum_sends - 1))
    assert not POLICY.lags(Tally(100, 0, 49))
    assert POLICY.lags(Tally(100, 0, 50))
