import re

import pytest
from hypothesis import given, strategies as st

from contracts import limits
from contracts.channels import Channel
from gateway.errors import Refusal
from gateway.requests import (
    BATCH_AT_MOST_BYTES,
    BATCH_AT_MOST_ITEMS,
    NotificationRequest,
)
from gateway.validation import check

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


@given(st.text(alphabet="ab@. \n", max_size=12))
def test_an_email_address_is_what_the_contract_says(text: str) -> None:
    expected = re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text) is not None

    assert limits.is_email_address(text) == expected


@pytest.mark.parametrize(("channel", "at_most"), limits.CONTENT_AT_MOST_BYTES.items())
def test_content_is_measured_in_bytes(channel: Channel, at_most: int) -> None:
    assert limits.content_fault(channel, "x" * at_most) is None
    assert limits.content_fault(channel, "é" * (at_most // 2)) is None
    assert limits.content_fault(channel, "x" * (at_most + 1))
    assert limits.content_fault(channel, "é" * (at_most // 2 + 1))
    assert limits.content_fault(channel, "") == "content is empty"


@given(st.text(max_size=20), st.integers(0, 40))
def test_lengths_are_compared_in_utf8(text: str, at_most: int) -> None:
    assert limits.longer_than(text, at_most) == (len(text.encode()) > at_most)


def test_a_subject_is_one_line() -> None:
    assert limits.subject_fault("Your receipt") is None
    assert limits.subject_fault("Your receipt\nBcc: all@example.com")
    assert limits.subject_fault("x" * 999)


def test_metadata_is_small() -> None:
    assert limits.metadata_fault({"order": 4711}) is None
    assert limits.metadata_fault({"order": "x" * 4096})


recipients = st.text(max_size=20) | st.from_regex(r"\+?[0-9]{0,17}|[a-z@.]{0,9}")


@given(
    st.sampled_from(Channel),
    recipients,
    st.text(max_size=200),
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5_000), max_size=1),
)
def test_the_gateway_accepts_what_these_rules_accept(
    channel: Channel,
    recipient: str,
    content: str,
    subject: str,
    metadata: dict[str, str],
) -> None:
    faults = (
        limits.recipient_fault(channel, recipient),
        limits.content_fault(channel, content),
        limits.subject_fault(subject),
        limits.metadata_fault(metadata),
    )
    request = NotificationRequest(
        channel=channel,
        recipient=recipient,
        content=content,
        subject=subject,
        metadata=metadata,
    )

    if any(faults):
        with pytest.raises(Refusal) as refused:
            check(request)
        assert str(refused.value) in faults
    else:
        check(request)


def test_a_batch_is_as_large_as_the_gateway_takes() -> None:
    assert limits.BATCH_AT_MOST_ITEMS == BATCH_AT_MOST_ITEMS
    assert limits.BATCH_AT_MOST_BYTES == BATCH_AT_MOST_BYTES
