"""The Twilio provider against a server that answers as Twilio does."""

import base64
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.twilio import TwilioProvider, TwilioSettings, outcome_of
from tests.integration.providers.conformance import ProviderConformance, attempt
from tests.integration.providers.far_sides import (
    RETRY_AFTER_SECONDS,
    FarSide,
    HttpFarSide,
    Mood,
    Parcel,
)

ACCOUNT, KEY = f"AC{'0a' * 16}", f"SK{'0b' * 16}"
SECRET = "a secret that only Twilio and we know"
SENDER = "+15005550006"
REFUSALS = {
    Mood.TRANSIENT: (503, 20503),
    Mood.THROTTLED: (429, 20429),
    Mood.PERMANENT: (400, 21211),
}


class Twilio(HttpFarSide):
    """The part of Twilio's API that makes messages."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.login = (ACCOUNT, SECRET)

    async def read(self, request: web.BaseRequest) -> Parcel:
        assert request.method == "POST"
        assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        assert request.content_type == "application/x-www-form-urlencoded"
        way, _, given = request.headers["Authorization"].partition(" ")
        assert way == "Basic"
        assert base64.b64decode(given).decode() == ":".join(self.login)
        form = parse_qs((await request.read()).decode(), strict_parsing=True)
        self.forms.append(form)
        key = request.headers["I-Twilio-Idempotency-Token"]
        return Parcel(form["To"][0], form["Body"][0], key)

    def accept(self, parcel: Parcel) -> web.Response:
        made = {
            "sid": f"SM{len(self.parcels):032x}",
            "account_sid": ACCOUNT,
            "to": parcel.recipient,
            "body": parcel.content,
            "status": "queued",
            "error_code": None,
            "error_message": None,
        }
        return web.json_response(made, status=201)

    def refuse(self, mood: Mood, words: str) -> web.Response:
        status, code = REFUSALS.get(mood, (500, 20500))
        problem = {
            "code": code,
            "message": words,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return web.json_response(problem, status=status, headers=headers)


class TestConformance(ProviderConformance):
    name = "twilio"
    channel = Channel.SMS
    required = frozenset(
        {"TOCSIN_TWILIO_ACCOUNT_SID", "TOCSIN_TWILIO_SECRET", "TOCSIN_TWILIO_SENDER"}
    )
    secrets = (SECRET, base64.b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode())

    def run_far_side(self) -> AbstractAsyncContextManager[FarSide]:
        return Twilio.running()

    def environment(self, far_side: Twilio) -> dict[str, str]:
        return {
            "TOCSIN_TWILIO_ACCOUNT_SID": ACCOUNT,
            "TOCSIN_TWILIO_SECRET": SECRET,
            "TOCSIN_TWILIO_SENDER": SENDER,
            "TOCSIN_TWILIO_BASE_URL": far_side.url,
        }


message = TestConformance().message


@pytest.mark.parametrize(
    ("sender", "member"),
    [
        (SENDER, "From"),
        ("72527", "From"),
        ("Tea House", "From"),
        (f"MG{'0c' * 16}", "MessagingServiceSid"),
    ],
)
async def test_a_message_comes_from_whom_it_should(sender: str, member: str) -> None:
    async with Twilio.running() as far_side:
        far_side.login = (KEY, SECRET)
        settings: dict[str, Any] = {
            "account_sid": ACCOUNT,
            "key_sid": KEY,
            "secret": SECRET,
            "sender": sender,
            "base_url": far_side.url,
        }
        async with TwilioProvider.open(TwilioSettings(**settings)) as provider:
            outcome = await attempt(provider, message(content="Tea"))

    assert outcome.message_id == f"SM{1:032x}"
    assert far_side.forms == [
        {"To": ["+15555550101"], "Body": ["Tea"], member: [sender]}
    ]


async def test_twilio_is_asked_to_tell_what_becomes_of_a_message() -> None:
    """By our id, which is known before Twilio's own is in the ledger."""
    receipts = "https://notify.example.com/api/v1/receipts/twilio"
    async with Twilio.running() as far_side:
        settings: dict[str, Any] = {
            "account_sid": ACCOUNT,
            "secret": SECRET,
            "sender": SENDER,
            "base_url": far_side.url,
            "receipts_url": receipts,
        }
        async with TwilioProvider.open(TwilioSettings(**settings)) as provider:
            sent = message()
            await attempt(provider, sent)

    [form] = far_side.forms
    assert form["StatusCallback"] == [f"{receipts}?notification={sent.notification_id}"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 21211, "permanent"),  # no such number
        (400, 21610, "permanent"),  # opted out
        (400, 21614, "permanent"),  # no mobile number
        (400, 30006, "permanent"),  # a landline
        (404, 20404, "permanent"),
        (401, 20003, "transient"),  # our login
        (403, 20003, "transient"),
        (400, 30001, "transient"),
        (429, 20429, "throttled"),
        (400, 21611, "throttled"),
        (500, 20500, "transient"),
        (503, 20503, "transient"),
    ],
)
def test_a_code_has_its_class(status: int, code: int, kind: str) -> None:
    answer = b'{"code":%d,"message":"words","status":%d}' % (code, status)
    outcome = outcome_of(status, 3.0, answer)

    assert (outcome.kind, outcome.code, outcome.words) == (kind, str(code), "words")
    assert outcome.retry_after_seconds == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "permanent"), (429, "throttled"), (502, "transient")]
)
def test_an_answer_without_a_code_is_read_by_its_status(status: int, kind: str) -> None:
    outcome = outcome_of(status, None, b"<html>Bad gateway</html>")

    assert (outcome.kind, outcome.code) == (kind, str(status))
    assert outcome.words == "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    "answer", [b"", b"<html>Log in</html>", b"[]", b'{"sid":7}', b"\xff\xfe", b"{}"]
)
def test_success_that_is_not_twilio_s_delivers_nothing(answer: bytes) -> None:
    outcome = outcome_of(200, None, answer)

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "garbled")


@pytest.mark.parametrize(
    ("code", "kind"), [(30001, "transient"), (30006, "permanent"), (None, "permanent")]
)
def test_a_message_that_was_made_and_failed_at_once_is_not_delivered(
    code: int | None, kind: str
) -> None:
    said = '"error_code":%s,"error_message":"words"' % (code or "null")
    answer = f'{{"sid":"SM1","status":"failed",{said}}}'.encode()
    outcome = outcome_of(201, None, answer)

    assert (outcome.kind, outcome.message_id) == (kind, "SM1")
