import re

import pytest
from hypothesis import given, strategies as st

from contracts import limits
from contracts.channels import Channel

SMS, EMAIL, PUSH = Channel.SMS, Channel.EMAIL, Channel.PUSH


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        (SMS, "+15555550001"),
        (SMS, "+12"),
        (SMS, "+123456789012345"),
        (EMAIL, "someone@example.com"),
        (EMAIL, "ü@exämple.co.uk"),
        (PUSH, "any token at all"),
        (PUSH, "x" * 4096),
    ],
)
def test_whom_a_notification_may_go_to(channel: Channel, recipient: str) -> None:
    assert limits.recipient_fault(channel, recipient) is None


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        (SMS, ""),
        (SMS, "15555550001"),
        (SMS, "+05555550001"),
        (SMS, "+1"),
        (SMS, "+1234567890123456"),
        (SMS, "+1555 5550001"),
        (SMS, "+15555550001\n"),
        (SMS, "+\N{ARABIC-INDIC DIGIT ONE}5555550001"),
        (EMAIL, "example.com"),
        (EMAIL, "a@b"),
        (EMAIL, "a@b@c.d"),
        (EMAIL, "a b@example.com"),
        (EMAIL, "a@.com"),
        (EMAIL, "a@example."),
        (EMAIL, f"{'a' * 320}@example.com"),
        (PUSH, ""),
        (PUSH, "é" * 2049),
    ],
)
def test_whom_it_may_not_go_to(channel: Channel, recipient: str) -> None:
    assert limits.recipient_fault(channel, recipient)


_addresses = st.text(st.sampled_from("a.@ \tü\n"), max_size=9)


@given(_addresses)
def test_the_check_of_addresses_is_the_pattern_of_the_contract(text: str) -> None:
    pattern = re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text)

    assert limits.is_email_address(text) == (pattern is not None)


def test_a_hostile_address_is_refused_in_time_that_grows_with_its_length() -> None:
    assert not limits.is_email_address("a@" + "." * 1_000_000 + "@")


@pytest.mark.parametrize(("channel", "at_most"), limits.CONTENT_AT_MOST_BYTES.items())
def test_content_is_measured_in_bytes(channel: Channel, at_most: int) -> None:
    assert limits.content_fault(channel, "x" * at_most) is None
    assert limits.content_fault(channel, "é" * (at_most // 2)) is None
    assert limits.content_fault(channel, "x" * (at_most + 1))
    assert limits.content_fault(channel, "é" * (at_most // 2 + 1))
    assert limits.content_fault(channel, "") == "content is empty"


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("content", ["a\0", "\ud800", "ü\0", "\udfffx"])
def test_what_no_ledger_can_keep_is_no_content(channel: Channel, content: str) -> None:
    assert limits.content_fault(channel, content)
    assert limits.subject_fault(content)


def test_a_subject_is_one_line() -> None:
    assert limits.subject_fault("Your receipt") is None
    assert limits.subject_fault("Your receipt\nBcc: all@example.com")
    assert limits.subject_fault("x" * 999)


def test_metadata_is_small() -> None:
    assert limits.metadata_fault(b"x" * 4096) is None
    assert limits.metadata_fault(b"x" * 4097)
