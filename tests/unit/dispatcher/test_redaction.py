"""What a provider's words may not carry on."""

import json
import time

import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel
from contracts.ids import new_id
from dispatcher.providers.port import OutboundMessage
from dispatcher.providers.redaction import REDACTED, redact


def message(
    recipient: str = "+15555550199",
    content: str = "The kettle is on.",
    subject: str | None = None,
) -> OutboundMessage:
    return OutboundMessage(
        notification_id=new_id(),
        channel=Channel.SMS,
        recipient=recipient,
        content=content,
        subject=subject,
        attempt=1,
        correlation_id="corr",
        traceparent=None,
    )


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("no route to +15555550199", f"no route to {REDACTED}"),
        ("no route to 15555550199!", f"no route to {REDACTED}!"),
        ("no route to (555) 555-0123", f"no route to {REDACTED}"),
        ("try someone.else@example.com", f"try {REDACTED}"),
        ("try someone%40example.com", f"try {REDACTED}"),
        ("the kettle IS ON.", REDACTED),
        ("refused: The kettle is", f"refused: {REDACTED}"),
        ("quota of 100 reached", "quota of 100 reached"),
        ("error 21211: invalid number", "error 21211: invalid number"),
    ],
)
def test_addresses_and_messages_go_and_the_rest_stays(words: str, kept: str) -> None:
    assert redact(words, message()) == kept


def test_a_one_time_code_goes_however_short() -> None:
    assert "4711" not in redact("bad code 4711", message(content="Code: 4711"))


def test_an_email_recipient_goes_in_any_case_and_by_its_local_part() -> None:
    told = redact(
        "MAILBOX Jo.Doe@Example.COM unknown: jo.doe", message("jo.doe@example.com")
    )

    assert "doe" not in told.lower()


def test_a_subject_goes() -> None:
    told = redact("'Your test result' refused", message(subject="Your test result"))

    assert told == f"'{REDACTED}' refused"


printable = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=4)


@given(printable, st.text(max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_a_recipient_is_never_left_whole(
    recipient: str, content: str, before: str, after: str
) -> None:
    told = redact(f"{before}{recipient}{after}", message(recipient, content))

    assert recipient not in told.replace(REDACTED, "\n") or recipient in REDACTED


@given(st.text(min_size=12, max_size=120), st.text(max_size=50))
def test_a_message_is_never_left_whole(content: str, around: str) -> None:
    words = f"{around}{content}{around}"
    for told in (
        redact(words, message(content=content)),
        redact(json.dumps(words, ensure_ascii=False), message(content=content)),
    ):
        assert content not in told


@pytest.mark.parametrize("words", ["a" * 100_000, "1 " * 50_000, "a@" * 50_000])
def test_no_answer_takes_long_to_read(words: str) -> None:
    long = message(content="abc123 " * 1400)
    begun = time.perf_counter()
    redact(words, long)

    assert time.perf_counter() - begun < 0.5
