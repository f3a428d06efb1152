import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel, Priority
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.requests import NotificationRequest
from gateway.validation import Draft, check, parse_uuid

RIGHT: dict[Channel, dict[str, Any]] = {
    Channel.SMS: {"recipient": "+15555550001", "content": "hello"},
    Channel.EMAIL: {"recipient": "someone@example.com", "content": "hello"},
    Channel.PUSH: {"recipient": "token", "content": "hello"},
}


def request(channel: str = "sms", **fields: Any) -> NotificationRequest:
    right = RIGHT[Channel(channel)] if channel in list(Channel) else {}
    return NotificationRequest(**{"channel": channel, **right, **fields})


def refusal(asked: NotificationRequest, at: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        check(asked, at)
    return caught.value


@pytest.mark.parametrize("channel", Channel)
def test_the_least_that_can_be_asked_for(channel: Channel) -> None:
    assert check(request(channel)) == Draft(
        channel=channel,
        priority=Priority.NORMAL,
        recipient=RIGHT[channel]["recipient"],
        content="hello",
        max_attempts=5,
    )


@pytest.mark.parametrize(
    ("given", "channel"),
    [(" SMS\t", Channel.SMS), ("Email", Channel.EMAIL), ("PUSH\n", Channel.PUSH)],
)
def test_a_channel_is_trimmed_and_lower_cased(given: str, channel: Channel) -> None:
    asked = request(channel)
    asked.channel = given

    assert check(asked).channel == channel


@pytest.mark.parametrize(
    "given", [None, "", "fax", "s ms", "sms,email", "\uff53\uff4d\uff53"]
)
def test_an_unknown_channel_is_refused(given: str | None) -> None:
    asked = request()
    asked.channel = given

    assert refusal(asked).problem == ProblemType.INVALID_CHANNEL


@pytest.mark.parametrize("given", ["", "urgent", "HIGH", " high"])
def test_a_priority_is_exact(given: str) -> None:
    assert refusal(request(priority=given)).problem == ProblemType.INVALID_PRIORITY


@pytest.mark.parametrize("priority", Priority)
def test_a_priority_is_kept(priority: Priority) -> None:
    assert check(request(priority=str(priority))).priority == priority


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        ("sms", "+12"),
        ("sms", "+123456789012345"),
        ("email", "a@b.c"),
        ("email", "ü@exämple.de"),
        ("email", "a@b..c"),
        ("email", "a" * 308 + "@example.com"),
        ("push", "x"),
        ("push", " "),
        ("push", "x" * 4096),
        ("push", "ü" * 2048),
    ],
)
def test_recipients_that_are_right(channel: str, recipient: str) -> None:
    assert check(request(channel, recipient=recipient)).recipient == recipient


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        ("sms", ""),
        ("sms", None),
        ("sms", "+1"),
        ("sms", "15555550001"),
        ("sms", "+05555550001"),
        ("sms", "+1234567890123456"),
        ("sms", "+1555555000\uff11"),
        ("sms", "+1555555000٣"),
        ("sms", "+15555550001\n"),
        ("sms", " +15555550001"),
        ("email", ""),
        ("email", None),
        ("email", "a@b"),
        ("email", "a@.c"),
        ("email", "a@b."),
        ("email", "@b.c"),
        ("email", "a@b@c.d"),
        ("email", "a b@c.d"),
        ("email", "a@b.c\n"),
        ("email", "a@b\u00a0.c"),
        ("email", "a" * 309 + "@example.com"),
        ("push", ""),
        ("push", None),
        ("push", "x" * 4097),
        ("push", "ü" * 2048 + "x"),
    ],
)
def test_recipients_that_are_wrong(channel: str, recipient: str | None) -> None:
    problem = refusal(request(channel, recipient=recipient)).problem
    assert problem == ProblemType.INVALID_RECIPIENT


@pytest.mark.parametrize(
    ("channel", "at_most"), [("sms", 160), ("email", 10_000), ("push", 500)]
)
def test_content_is_limited_in_bytes_of_utf_8(channel: str, at_most: int) -> None:
    for fits in (
        "x" * at_most,
        "ü" * (at_most // 2),
        "x" * (at_most - 4) + "\U0001f514",
    ):
        assert check(request(channel, content=fits)).content == fits
    for long in ("x" * (at_most + 1), "ü" * (at_most // 2) + "x", "", None):
        problem = refusal(request(channel, content=long)).problem
        assert problem == ProblemType.INVALID_CONTENT


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"channel", "priority", "template_id", "recipient", "content"}, "channel"),
        ({"priority", "template_id", "recipient", "content"}, "priority"),
        ({"template_id", "recipient", "content"}, "template_id"),
        ({"recipient", "content", "max_attempts"}, "recipient"),
        ({"content", "max_attempts", "scheduled_at"}, "content"),
    ],
)
def test_checks_come_in_the_promised_order(wrong: set[str], problem: str) -> None:
    values: dict[str, Any] = {"content": "", "max_attempts": 99}
    asked = request(**{name: values.get(name, "wrong") for name in wrong})

    assert refusal(asked).errors[0].pointer == f"/{problem}"


def test_a_pointer_begins_where_the_request_stands() -> None:
    refused = refusal(request(content=""), "/notifications/3")

    assert [error.pointer for error in refused.errors] == ["/notifications/3/content"]


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2030-01-02T03:04:05Z", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2030-01-02T03:04:05.25+02:00", datetime(2030, 1, 2, 1, 4, 5, 250_000, UTC)),
        ("2030-01-02t03:04:05z", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_are_kept_in_utc(given: str, moment: datetime) -> None:
    draft = check(request(scheduled_at=given, expires_at=given))

    assert (draft.scheduled_at, draft.expires_at) == (moment, moment)
    assert draft.scheduled_at is not None
    assert draft.scheduled_at.tzinfo == UTC


@pytest.mark.parametrize("field", ["scheduled_at", "expires_at"])
@pytest.mark.parametrize(
    "given",
    [
        "",
        "now",
        "2030-01-02",
        "2030-01-02T03:04:05",
        "2030-02-30T00:00:00Z",
        "2030-01-02T24:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "1893553445",
    ],
)
def test_a_time_without_its_offset_or_outside_the_calendar_is_refused(
    field: str, given: str
) -> None:
    problem = refusal(request(**{field: given})).problem
    assert problem == ProblemType.INVALID_SCHEDULE


@pytest.mark.parametrize("given", [1, 10])
def test_the_number_of_attempts_is_honoured(given: int) -> None:
    assert check(request(max_attempts=given)).max_attempts == given


def test_a_number_of_attempts_is_a_whole_one_however_it_is_written() -> None:
    assert check(request(max_attempts=3.0)).max_attempts == 3
    for fraction in (2.5, float("inf"), float("nan")):
        refused = refusal(request(max_attempts=fraction))
        assert refused.problem == ProblemType.MALFORMED_BODY


@pytest.mark.parametrize("given", [0, -1, 11, 10**30, 10**400, 1e300])
def test_too_many_attempts_or_none_are_refused(given: int) -> None:
    assert refusal(request(max_attempts=given)).problem == ProblemType.BAD_REQUEST


def test_metadata_is_limited_in_bytes_as_json() -> None:
    assert check(request(metadata={"k": "x" * 4088})).metadata is not None
    refused = refusal(request(metadata={"k": "x" * 4089}))

    assert refused.problem == ProblemType.BAD_REQUEST
    assert check(request(metadata={})).metadata == "{}"


@pytest.mark.parametrize("given", ["a\nb", "a\rb", "\0", "x" * 999, "ü" * 500])
def test_a_subject_is_one_line_of_bounded_length(given: str) -> None:
    refused = refusal(request("email", subject=given))

    assert refused.problem == ProblemType.BAD_REQUEST


@given(st.text(max_size=40))
def test_whatever_is_sent_as_an_sms_number_is_matched_as_ascii(text: str) -> None:
    asked = request(recipient=text)
    if re.fullmatch(r"\+[1-9]\d{1,14}", text, re.ASCII):
        assert check(asked).recipient == text
    else:
        assert refusal(asked).problem == ProblemType.INVALID_RECIPIENT


@pytest.mark.parametrize(
    "given",
    ["0190A0B0-0000-7000-8000-000000000000", "0190a0b0-0000-7000-8000-00000000000f"],
)
def test_ids_are_read_in_their_canonical_form(given: str) -> None:
    assert str(parse_uuid(given)) == given.lower()


@pytest.mark.parametrize("given", ["", "x", "0190a0b000007000800000000000000f", "\n"])
def test_other_forms_of_ids_are_not_read(given: str) -> None:
    assert parse_uuid(given) is None
