import random

import pytest

from contracts.channels import Channel
from ops.sandbox import answers
from ops.sandbox.answers import ACCEPTED, SIMULATORS, Answer, decide
from ops.sandbox.behaviour import Behaviour, Mode

ORDINARY = {
    Channel.SMS: "+15555550001",
    Channel.EMAIL: "ana@example.com",
    Channel.PUSH: "device-token",
}


def answer_to(
    to: str,
    channel: Channel = Channel.SMS,
    *,
    attempt: int = 1,
    behaviour: Behaviour | None = None,
    roll: float = 0.0,
) -> Answer:
    return decide(
        channel=channel,
        to=to,
        attempt=attempt,
        behaviour=behaviour or Behaviour(),
        roll=roll,
    )


@pytest.mark.parametrize("channel", Channel)
def test_an_ordinary_recipient_is_accepted(channel):
    assert answer_to(ORDINARY[channel], channel) == ACCEPTED


@pytest.mark.parametrize(
    ("number", "first", "second"),
    [
        ("+15005550001", 422, 422),
        ("+15005550002", 503, 202),
        ("+15005550003", 503, 503),
        ("+15005550004", 429, 429),
        ("+15005550005", 202, 202),
    ],
)
def test_a_simulator_number_answers_as_the_contract_says(number, first, second):
    assert answer_to(number, attempt=1).status == first
    assert answer_to(number, attempt=2).status == second


@pytest.mark.parametrize("name", SIMULATORS)
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_email_and_push_names_answer_like_their_number(name, attempt):
    by_number = answer_to(SIMULATORS[name].number, attempt=attempt)

    assert answer_to(f"{name}@example.com", Channel.EMAIL, attempt=attempt) == by_number
    assert answer_to(f"{name}+7@a.test", Channel.EMAIL, attempt=attempt) == by_number
    assert answer_to(name, Channel.PUSH, attempt=attempt) == by_number


@pytest.mark.parametrize(
    ("to", "channel"),
    [
        ("flaky", Channel.SMS),
        ("+15005550001", Channel.PUSH),
        ("+15005550001", Channel.EMAIL),
        ("not-permanent@example.com", Channel.EMAIL),
        ("ana@permanent.example", Channel.EMAIL),
        ("permanent-token", Channel.PUSH),
        ("permanent@example.com", Channel.PUSH),
    ],
)
def test_a_name_means_nothing_outside_its_place(to, channel):
    assert answer_to(to, channel) == ACCEPTED


def test_throttled_asks_for_two_seconds():
    assert answer_to("+15005550004").retry_after_seconds == 2


def test_slow_is_accepted_after_three_seconds():
    slow = answer_to("+15005550005")

    assert slow.accepts
    assert slow.delay_seconds == 3


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        (Mode.ACCEPT, 202),
        (Mode.TRANSIENT, 503),
        (Mode.PERMANENT, 422),
        (Mode.THROTTLED, 429),
        (Mode.TIMEOUT, None),
        (Mode.RESET, None),
        (Mode.GARBAGE, None),
    ],
)
def test_the_mode_decides_for_an_ordinary_recipient(mode, status):
    behaviour = Behaviour(mode=mode)

    assert answer_to("+15555550001", behaviour=behaviour, roll=0.999).status == status


@pytest.mark.parametrize("mode", Mode)
def test_a_simulator_recipient_keeps_its_outcome_in_every_mode(mode):
    behaviour = Behaviour(mode=mode)

    assert answer_to("+15005550001", behaviour=behaviour) == answers.PERMANENT
    assert answer_to("+15005550002", behaviour=behaviour, attempt=2) == ACCEPTED


def test_rate_zero_affects_nothing():
    behaviour = Behaviour(mode=Mode.TRANSIENT, rate=0.0)

    assert answer_to("+15555550001", behaviour=behaviour, roll=0.0) == ACCEPTED


def test_the_rate_is_the_share_of_requests_affected():
    behaviour = Behaviour(mode=Mode.TRANSIENT, rate=0.25)
    rng = random.Random(7)
    affected = sum(
        not answer_to("+15555550001", behaviour=behaviour, roll=rng.random()).accepts
        for _ in range(4000)
    )

    assert 900 < affected < 1100


def test_a_behaviour_for_one_channel_leaves_the_others_alone():
    behaviour = Behaviour(mode=Mode.PERMANENT, latency_ms=250, channel=Channel.EMAIL)

    assert answer_to("a@example.com", Channel.EMAIL, behaviour=behaviour).status == 422
    assert answer_to("+15555550001", Channel.SMS, behaviour=behaviour) == ACCEPTED
    assert behaviour.latency_seconds(Channel.EMAIL) == 0.25
    assert behaviour.latency_seconds(Channel.SMS) == 0
