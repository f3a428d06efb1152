"""The Apprise provider against a server that takes Apprise's own JSON."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiohttp import web

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.apprise import AppriseProvider, AppriseSettings, refusal
from tests.integration.providers.conformance import ProviderConformance, attempt
from tests.integration.providers.far_sides import FarSide, HttpFarSide, Mood, Parcel

# Apprise loads every service it knows, and with one of them a module that Python drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")

PASSWORD = "the-password-of-the-chat"
STATUSES = {Mood.TRANSIENT: 503, Mood.THROTTLED: 429, Mood.PERMANENT: 410}


class Chat(HttpFarSide):
    """A service that Apprise reaches with ``json://``."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []

    def url_for_apprise(self) -> str:
        extras = "?:to={recipient}&+Idempotency-Key={id}"
        return f"json://tocsin:{PASSWORD}@127.0.0.1:{self.port}/{extras}"

    async def read(self, request: web.BaseRequest) -> Parcel:
        assert request.headers["Authorization"].startswith("Basic ")
        body = json.loads(await request.read())
        self.titles.append(body["title"])
        return Parcel(body["to"], body["message"], request.headers["Idempotency-Key"])

    def accept(self, parcel: Parcel) -> web.Response:
        return web.Response()

    def refuse(self, mood: Mood, words: str) -> web.Response:
        return web.Response(status=STATUSES.get(mood, 500), text=words)


class TestConformance(ProviderConformance):
    name = "apprise"
    channel = Channel.PUSH
    required = frozenset(f"TOCSIN_APPRISE_{channel}_URL".upper() for channel in Channel)
    secrets = (PASSWORD,)
    tells_to_wait = False
    names_messages = False

    def run_far_side(self) -> AbstractAsyncContextManager[FarSide]:
        return Chat.running()

    def environment(self, far_side: Chat) -> dict[str, str]:
        return {"TOCSIN_APPRISE_PUSH_URL": far_side.url_for_apprise()}


message = TestConformance().message


async def test_a_channel_without_a_url_leads_nowhere() -> None:
    settings: dict[str, Any] = {"push_url": "json://127.0.0.1/{recipient}"}
    async with AppriseProvider.open(AppriseSettings(**settings)) as provider:
        outcome = await attempt(provider, message(channel=Channel.SMS))

    assert (outcome.kind, outcome.code) == (OutcomeClass.UNROUTABLE, "no_url")


async def test_a_subject_is_the_title_and_a_throttled_status_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Chat.running() as far_side:
        settings: dict[str, Any] = {"push_url": far_side.url_for_apprise()}
        async with AppriseProvider.open(AppriseSettings(**settings)) as provider:
            await attempt(provider, message(subject="Tea"))
            far_side.mood = Mood.THROTTLED
            outcome = await attempt(provider, message())

    assert far_side.titles == ["Tea", ""]
    assert (outcome.kind, outcome.code) == (OutcomeClass.THROTTLED, "429")
    assert outcome.words == "refused by JSON"
    assert not [record for record in caplog.records if record.name == "apprise"]


@pytest.mark.parametrize(
    "recipient", ["one,two", "one/two", "one two", "one&+x=y", "one%2Ctwo", "one\ntwo"]
)
async def test_a_recipient_that_could_be_several_is_refused(recipient: str) -> None:
    async with Chat.running() as far_side:
        settings: dict[str, Any] = {"push_url": far_side.url_for_apprise()}
        async with AppriseProvider.open(AppriseSettings(**settings)) as provider:
            outcome = await attempt(provider, message(recipient=recipient))

    assert (outcome.kind, outcome.code) == (
        OutcomeClass.PERMANENT,
        "recipient_invalid",
    )
    assert far_side.heard == 0


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (["Failed to send JSON POST notification: error=503."], "transient", "503"),
        (["Failed to send: Bad Request, error=400."], "permanent", "400"),
        (["Failed to send: Unauthorized, error=401."], "transient", "401"),
        (["Failed to send: Too Many Requests, error=429."], "throttled", "429"),
        (["error=500.", "error=404."], "permanent", "404"),
        (["A Connection error occurred sending."], "transient", "failed"),
        ([], "transient", "failed"),
    ],
)
def test_what_apprise_logs_decides(said: list[str], kind: str, code: str) -> None:
    outcome = refusal("JSON", said)

    assert (outcome.kind, outcome.code) == (kind, code)
