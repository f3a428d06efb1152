from datetime import timedelta

import pytest

from console.filters import FilterUnclear
from console.letter_filters import completions, read_letter_filter
from contracts.channels import Channel, Priority
from contracts.operations import LetterFilter
from contracts.outcomes import FailureClass
from tests.unit.console.world import NOON, moment

NOW = moment(NOON)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", LetterFilter()),
        ("channel:sms", LetterFilter(channel=Channel.SMS)),
        ("ch:s pri:h", LetterFilter(channel=Channel.SMS, priority=Priority.HIGH)),
        ("class:perm", LetterFilter(class_=FailureClass.PERMANENT)),
        ("class:=PERMANENT", LetterFilter(class_=FailureClass.PERMANENT)),
        ("reason:'no such mailbox'", LetterFilter(reason="no such mailbox")),
        ("reason:=21614", LetterFilter(reason="21614")),
        ("channel:", LetterFilter()),
        ("age:<2h", LetterFilter(failed_after=NOW - timedelta(hours=2))),
        ("age:>30m", LetterFilter(failed_before=NOW - timedelta(minutes=30))),
        (
            "age:<2d age:>1d",
            LetterFilter(
                failed_after=NOW - timedelta(days=2),
                failed_before=NOW - timedelta(days=1),
            ),
        ),
    ],
)
def test_a_filter_is_read_as_the_gateway_wants_it(text, read):
    assert read_letter_filter(text, NOW) == read


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("invalid", "say of which field"),
        ("colour:red", "no field 'colour'"),
        ("channel:fax", "no channel 'fax'"),
        ("class:t", "no class 't'"),
        ("age:2h", "an age is like"),
        ("age:<99999999999d", "too long ago"),
        ("reason:'no", "a quote is not closed"),
    ],
)
def test_what_the_gateway_could_not_do_is_said_and_not_guessed(text, why):
    with pytest.raises(FilterUnclear, match=why):
        read_letter_filter(text, NOW)


@pytest.mark.parametrize("text", completions())
def test_what_is_suggested_can_be_read(text):
    read_letter_filter(text, NOW)
