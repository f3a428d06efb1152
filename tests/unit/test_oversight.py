import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel
from contracts.oversight import masked, recipient_hash


@pytest.mark.parametrize(
    ("channel", "recipient", "shown"),
    [
        (Channel.SMS, "+15555550142", "+15***42"),
        (Channel.SMS, "+1555", "***"),
        (Channel.EMAIL, "someone@example.com", "s***@example.com"),
        (Channel.EMAIL, "a@example.com", "***@example.com"),
        (Channel.PUSH, "token-of-a-device", "toke***"),
        (Channel.PUSH, "token", "***"),
        (Channel.SMS, "[erased]", "***"),
    ],
)
def test_a_masked_recipient_can_be_recognized_and_not_used(
    channel: Channel, recipient: str, shown: str
) -> None:
    assert masked(channel, recipient) == shown


@given(st.sampled_from([Channel.SMS, Channel.PUSH]), st.text(min_size=1))
def test_at_least_half_of_a_recipient_stays_hidden(
    channel: Channel, recipient: str
) -> None:
    shown = masked(channel, recipient).replace("***", "", 1)

    assert len(shown) <= len(recipient) / 2


def test_a_hash_is_the_first_16_digits_of_sha_256() -> None:
    """As sha256sum says."""
    assert recipient_hash("+15555550142") == "20a9f9e59626dc6e"
