"""What follows an attempt, over every outcome, policy and moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel
from contracts.outcomes import FailureClass, OutcomeClass
from dispatcher import retries
from dispatcher.errors import RetriesInvalid
from dispatcher.providers.port import Outcome
from dispatcher.retries import Attempt, Done, GiveBack, GiveUp, Policy, Retry

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
POLICY = Policy(delays_seconds=(5, 30, 120, 600))
TRANSIENT = Outcome(kind=OutcomeClass.TRANSIENT)

delays = st.floats(min_value=0.001, max_value=7 * 24 * 3600)
policies = st.builds(
    Policy,
    delays_seconds=st.lists(delays, min_size=1, max_size=6).map(tuple),
    bus_at_most_seconds=st.floats(min_value=0, max_value=30),
)
again = st.sampled_from([OutcomeClass.TRANSIENT, OutcomeClass.THROTTLED])
retry_afters = st.none() | st.floats(allow_nan=True, allow_infinity=True)
seeds = st.integers(min_value=0, max_value=2**32)
attempts = st.integers(min_value=1, max_value=10)


@given(policies, attempts, again, retry_afters, seeds)
def test_a_retry_comes_within_the_bounds_of_its_policy(
    policy: Policy,
    number: int,
    kind: OutcomeClass,
    retry_after: float | None,
    seed: int,
) -> None:
    outcome = Outcome(kind=kind, retry_after_seconds=retry_after)
    decision = retries.decide(policy, Attempt(number, 11), outcome, NOW, Random(seed))

    assert isinstance(decision, Retry)
    wait = (decision.at - NOW).total_seconds()
    longest = 2 * max(policy.delays_seconds) if retry_after is not None else None
    scheduled = policy.delays_seconds[min(number, len(policy.delays_seconds)) - 1]
    assert 0 <= wait <= (longest or scheduled) + 1e-6
    assert decision.because == FailureClass(kind)


@given(policies, attempts, st.floats(min_value=0, max_value=1e9), seeds)
def test_a_retry_after_lengthens_a_wait_and_never_shortens_it(
    policy: Policy, number: int, retry_after: float, seed: int
) -> None:
    drawn = retries.wait_seconds(policy, number, None, Random(seed))
    wait = retries.wait_seconds(policy, number, retry_after, Random(seed))

    assert drawn <= wait <= max(drawn, 2 * policy.longest_seconds)
    assert wait >= min(retry_after, 2 * policy.longest_seconds)


@given(policies, attempts, attempts, again, seeds)
def test_the_last_attempt_is_never_followed_by_another(
    policy: Policy, number: int, most: int, kind: OutcomeClass, seed: int
) -> None:
    outcome = Outcome(kind=kind)
    decision = retries.decide(policy, Attempt(number, most), outcome, NOW, Random(seed))

    assert isinstance(decision, GiveUp) == (number >= most)


@given(policies, seeds)
def test_only_waits_that_the_policy_allows_stay_on_the_bus(
    policy: Policy, seed: int
) -> None:
    decision = retries.decide(policy, Attempt(1, 5), TRANSIENT, NOW, Random(seed))

    assert isinstance(decision, Retry)
    wait = (decision.at - NOW).total_seconds()
    # times are kept to the microsecond
    if abs(wait - policy.bus_at_most_seconds) > 1e-5:
        assert decision.parked == (wait > policy.bus_at_most_seconds)


@given(seeds)
def test_a_retry_that_would_come_too_late_is_not_waited_for(seed: int) -> None:
    soon = Attempt(4, 5, NOW + timedelta(seconds=300))
    decision = retries.decide(POLICY, soon, TRANSIENT, NOW, Random(seed))

    match decision:
        case Retry(at=at):
            assert at < NOW + timedelta(seconds=300)
        case _:
            assert decision == GiveUp(FailureClass.EXPIRED)


def test_jitter_uses_the_whole_wait() -> None:
    rng = Random(7)
    waits = [retries.wait_seconds(POLICY, 1, None, rng) for _ in range(1000)]

    assert min(waits) < 0.1
    assert max(waits) > 4.9
    assert 2.3 < sum(waits) / 1000 < 2.7


def test_delivery_needs_nothing_more() -> None:
    outcome = Outcome(kind=OutcomeClass.DELIVERED)

    assert retries.decide(POLICY, Attempt(1, 5), outcome, NOW, Random(1)) == Done()


@pytest.mark.parametrize("kind", [OutcomeClass.PERMANENT, OutcomeClass.UNROUTABLE])
def test_a_refusal_for_good_is_final_at_the_first_attempt(kind: OutcomeClass) -> None:
    decision = retries.decide(POLICY, Attempt(1, 5), Outcome(kind=kind), NOW, Random(1))

    assert decision == GiveUp(FailureClass(kind))


@given(policies, attempts, seeds)
def test_a_failure_of_ours_spends_no_attempt_and_does_not_spin(
    policy: Policy, number: int, seed: int
) -> None:
    outcome = Outcome(kind=OutcomeClass.OURS)
    decision = retries.decide(policy, Attempt(number, 5), outcome, NOW, Random(seed))

    assert isinstance(decision, GiveBack)
    assert policy.ours_seconds / 2 <= decision.rest_seconds <= 30


def test_the_bundled_policies_are_those_people_are_told() -> None:
    policies = retries.load(retries.BUNDLED)

    assert policies.keys() == set(Channel)
    for policy in policies.values():
        assert policy == POLICY


def test_a_channel_overrides_the_default(tmp_path: Path) -> None:
    file = tmp_path / "retries.toml"
    file.write_text(
        "[default]\ndelays_seconds = [1]\n[email]\ndelays_seconds = [60, 3600]\n"
    )
    policies = retries.load(file)

    assert policies[Channel.SMS].delays_seconds == (1,)
    assert policies[Channel.EMAIL].delays_seconds == (60, 3600)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[default]\ndelays_seconds = []", "length >= 1"),
        ("[default]\ndelays_seconds = [-1]", "> 0"),
        ("[default]\ndelays_seconds = [1]\nbus_at_most_seconds = 60", "<= 30"),
        ("[default]\ndelays_seconds = [1]\nours_seconds = 0", ">= 0.1"),
        ("[default]\ndelay_seconds = [1]", "delay_seconds"),
        ("[fax]\ndelays_seconds = [1]", "no channel is called fax"),
        ("default = 5", "Expected `object`, got `int`"),
        ("", "delays_seconds"),
        ("not toml", "Expected"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "retries.toml"
    file.write_text(text)
    with pytest.raises(RetriesInvalid) as caught:
        retries.load(file)

    assert str(file) in str(caught.value)
    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RetriesInvalid, match=r"absent\.toml"):
        retries.load(tmp_path / "absent.toml")
