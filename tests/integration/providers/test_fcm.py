"""The FCM provider against a server that grants tokens and takes messages as Google does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.access_tokens import (
    AccessTokens,
    TokenUnavailable,
    read_account,
)
from dispatcher.providers.fcm import FcmProvider, FcmSettings, outcome_of
from tests.integration.providers.conformance import (
    ProviderConformance,
    attempt,
    delivers,
)
from tests.integration.providers.far_sides import (
    RETRY_AFTER_SECONDS,
    HttpFarSide,
    Mood,
    Parcel,
)
from tests.waiting import until

PROJECT = "tea-house"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
REFUSALS = {
    Mood.TRANSIENT: (503, "UNAVAILABLE", "UNAVAILABLE"),
    Mood.THROTTLED: (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    Mood.PERMANENT: (404, "NOT_FOUND", "UNREGISTERED"),
}


class Google(HttpFarSide):
    """Grants access tokens, and takes the messages that carry a good one."""

    def __init__(self) -> None:
        super().__init__()
        self.granted: list[str] = []
        self.good: set[str] = set()
        self.expires_in: Any = 3600
        self.refusal: tuple[int, str] | None = None
        self.granting = asyncio.Event()
        self.granting.set()

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/token":
            return await self.grant(request)
        way, _, token = request.headers["Authorization"].partition(" ")
        if way != "Bearer" or token not in self.good:
            return problem(401, "UNAUTHENTICATED", None, "no good token")
        return await self.answer_send(request)

    async def grant(self, request: web.BaseRequest) -> web.Response:
        form = parse_qs((await request.read()).decode(), strict_parsing=True)
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        claims = jwt.decode(
            form["assertion"][0],
            KEY.public_key(),
            algorithms=["RS256"],
            audience=self.token_url,
            issuer=f"sender@{PROJECT}.example",
        )
        assert claims["scope"] == SCOPE
        assert jwt.get_unverified_header(form["assertion"][0])["kid"] == "key-1"
        token = f"ya29.secret-token-{len(self.granted)}"
        self.granted.append(token)
        await self.granting.wait()
        if self.refusal is not None:
            status, words = self.refusal
            return web.Response(status=status, text=words)
        self.good.add(token)
        return web.json_response(
            {
                "access_token": token,
                "expires_in": self.expires_in,
                "token_type": "Bearer",
            }
        )

    async def read(self, request: web.BaseRequest) -> Parcel:
        assert request.path == f"/v1/projects/{PROJECT}/messages:send"
        body = json.loads(await request.read())["message"]
        keys = {
            body["data"]["notification_id"],
            body["android"]["notification"]["tag"],
            body["apns"]["headers"]["apns-collapse-id"],
            body["webpush"]["notification"]["tag"],
        }
        [key] = keys
        return Parcel(body["token"], body["notification"]["body"], key)

    def accept(self, parcel: Parcel) -> web.Response:
        name = f"projects/{PROJECT}/messages/{len(self.parcels)}"
        return web.json_response({"name": name})

    def refuse(self, mood: Mood, words: str) -> web.Response:
        return problem(*REFUSALS.get(mood, (500, "INTERNAL", "INTERNAL")), words)


def problem(status: int, name: str, code: str | None, words: str) -> web.Response:
    details = [] if code is None else [fcm_error(code)]
    body = {
        "error": {"code": status, "message": words, "status": name, "details": details}
    }
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return web.json_response(body, status=status, headers=headers)


def fcm_error(code: str) -> dict[str, str]:
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    return {"@type": kind, "errorCode": code}


@pytest.fixture
def account_file(tmp_path: Path) -> Path:
    path = tmp_path / "account.json"
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "key-1",
        "private_key": PEM,
        "client_email": f"sender@{PROJECT}.example",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    path.write_text(json.dumps(account))
    return path


class TestConformance(ProviderConformance):
    name = "fcm"
    channel = Channel.PUSH
    required = frozenset({"TOCSIN_FCM_CREDENTIALS_FILE"})
    secrets = ("ya29.", PEM[100:150])

    @pytest.fixture(autouse=True)
    def account(self, account_file: Path) -> None:
        self.account_file = account_file

    def run_far_side(self) -> Any:
        return Google.running()

    def environment(self, far_side: Google) -> dict[str, str]:
        return {
            "TOCSIN_FCM_CREDENTIALS_FILE": str(self.account_file),
            "TOCSIN_FCM_TOKEN_URL": far_side.token_url,
            "TOCSIN_FCM_BASE_URL": far_side.url,
        }


message = TestConformance().message


@pytest_asyncio.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.running() as google:
        yield google


@pytest_asyncio.fixture
async def provider(google: Google, account_file: Path) -> AsyncIterator[FcmProvider]:
    settings: dict[str, Any] = {
        "credentials_file": account_file,
        "token_url": google.token_url,
        "base_url": google.url,
        "timeout_seconds": 3,
    }
    async with FcmProvider.open(FcmSettings(**settings)) as provider:
        yield provider


async def test_a_subject_is_the_title(google: Google, provider: FcmProvider) -> None:
    outcome = await attempt(provider, message(subject="Tea"))

    assert outcome.message_id == f"projects/{PROJECT}/messages/1"
    body = json.loads(await google.requests[0].read())["message"]
    assert body["notification"]["title"] == "Tea"


async def test_many_sends_share_one_token(
    google: Google, provider: FcmProvider
) -> None:
    google.granting.clear()
    sends = [asyncio.create_task(attempt(provider, message(n))) for n in range(20)]
    await until(lambda: google.granted)
    google.granting.set()
    for send in sends:
        assert (await send).kind is OutcomeClass.DELIVERED
    assert await delivers(provider, message())

    assert len(google.granted) == 1


async def test_a_cut_off_send_does_not_cut_off_the_token_others_wait_for(
    google: Google, provider: FcmProvider
) -> None:
    google.granting.clear()
    first = asyncio.create_task(attempt(provider, message()))
    await until(lambda: google.granted)
    second = asyncio.create_task(attempt(provider, message()))
    first.cancel()
    await asyncio.wait({first})
    google.granting.set()

    assert (await second).kind is OutcomeClass.DELIVERED
    assert len(google.granted) == 1


async def test_a_token_that_is_refused_while_new_is_not_asked_for_again(
    google: Google, provider: FcmProvider
) -> None:
    assert await delivers(provider, message())
    google.good.clear()
    outcome = await attempt(provider, message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "UNAUTHENTICATED")
    assert len(google.granted) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (
            400,
            '{"error":"invalid_grant","error_description":"Invalid JWT Signature."}',
            "token_invalid_grant",
            "Invalid JWT Signature.",
        ),
        (503, "<html>later</html>", "token_503", None),
        (200, "<html>log in</html>", "token_garbled", None),
        (200, '{"access_token":7}', "token_garbled", None),
    ],
)
async def test_without_a_token_a_send_is_transient(
    google: Google,
    provider: FcmProvider,
    status: int,
    body: str,
    code: str,
    words: str | None,
) -> None:
    google.refusal = (status, body)
    outcome = await attempt(provider, message())

    assert (outcome.kind, outcome.code, outcome.words) == (
        OutcomeClass.TRANSIENT,
        code,
        words,
    )
    google.refusal = None
    assert await delivers(provider, message())


@pytest.mark.parametrize(
    ("status", "name", "code", "kind"),
    [
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "permanent"),
        (400, "INVALID_ARGUMENT", None, "permanent"),
        (401, "UNAUTHENTICATED", None, "transient"),
        (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "transient"),
        (403, "PERMISSION_DENIED", None, "transient"),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "permanent"),
        (404, "NOT_FOUND", "UNREGISTERED", "permanent"),
        (404, "NOT_FOUND", None, "transient"),
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "throttled"),
        (500, "INTERNAL", "INTERNAL", "transient"),
        (503, "UNAVAILABLE", "UNAVAILABLE", "transient"),
    ],
)
def test_a_code_has_its_class(
    status: int, name: str, code: str | None, kind: str
) -> None:
    answer = problem(status, name, code, "words").body
    assert isinstance(answer, bytes)
    outcome = outcome_of(status, 3.0, answer)

    assert (outcome.kind, outcome.code, outcome.words) == (kind, code or name, "words")
    assert outcome.retry_after_seconds == 3


@pytest.mark.parametrize("answer", [b"", b"<html>Log in</html>", b"[]", b"{}", b"\xff"])
def test_success_that_is_not_fcm_s_delivers_nothing(answer: bytes) -> None:
    outcome = outcome_of(200, None, answer)

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "garbled")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def access_tokens(
    google: Google, account_file: Path, clock: Clock
) -> AsyncIterator[AccessTokens]:
    async with aiohttp.ClientSession() as session:
        tokens = AccessTokens(
            session,
            read_account(account_file),
            scope=SCOPE,
            url=google.token_url,
            timeout_seconds=3,
            clock=clock,
        )
        yield tokens
        await tokens.close()


async def test_a_token_is_renewed_before_it_ends_and_nobody_waits_for_it(
    google: Google, account_file: Path
) -> None:
    clock = Clock()
    async with access_tokens(google, account_file, clock) as tokens:
        first = await tokens.current()
        clock.now += 3600 - 301
        assert await tokens.current() == first
        assert len(google.granted) == 1

        clock.now += 2
        google.granting.clear()
        assert await tokens.current() == first
        await until(lambda: len(google.granted) == 2)
        assert await tokens.current() == first
        google.granting.set()
        second = await until(lambda: other_than(first, tokens))
        assert second == google.granted[1]


async def other_than(token: str, tokens: AccessTokens) -> str | None:
    current = await tokens.current()
    return None if current == token else current


async def test_a_renewal_that_fails_is_tried_again_later_and_harms_nobody(
    google: Google, account_file: Path
) -> None:
    clock = Clock()
    async with access_tokens(google, account_file, clock) as tokens:
        first = await tokens.current()
        clock.now += 3500
        google.refusal = (503, "")
        for _ in range(3):
            assert await tokens.current() == first
            await until(lambda: len(google.granted) == 2)
        clock.now += 5
        assert await tokens.current() == first
        await until(lambda: len(google.granted) == 3)

        clock.now += 90  # too near to its end to be used
        with pytest.raises(TokenUnavailable):
            await tokens.current()
        google.refusal = None
        assert await tokens.current() == google.granted[-1]


async def test_an_old_token_that_is_refused_is_replaced(
    google: Google, account_file: Path
) -> None:
    clock = Clock()
    async with access_tokens(google, account_file, clock) as tokens:
        first = await tokens.current()
        clock.now += 61

        assert tokens.forget(first)
        second = await tokens.current()
        assert second != first
        assert tokens.forget(first), "somebody else has replaced it"
        assert not tokens.forget(second)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "it cannot be read"),
        ("{}", "it is not the file of a service account"),
        ("not JSON", "it is not the file of a service account"),
        (
            json.dumps(
                {
                    "client_email": "a@b.example",
                    "project_id": "p",
                    "private_key": "very secret",
                }
            ),
            "its private_key is not an RSA key in PEM",
        ),
    ],
)
def test_a_file_that_is_no_service_account_is_refused(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=complaint) as refused:
        read_account(path)

    assert "secret" not in str(refused.value)


def test_an_account_does_not_show_its_key(account_file: Path) -> None:
    assert "PRIVATE" not in repr(read_account(account_file))
