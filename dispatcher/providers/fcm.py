"""Sends push notifications through Firebase Cloud Messaging (HTTP v1).

FCM has no idempotency key. Each message carries the notification's id as the tag (Android,
web) or collapse id (iOS) under which it is shown, so a second copy takes the place of the
first instead of standing beside it, and as ``notification_id`` in its data.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiohttp
import msgspec
from pydantic import AfterValidator, Field, HttpUrl
from pydantic_settings import SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers import http
from dispatcher.providers.access_tokens import (
    AccessTokens,
    TokenUnavailable,
    read_account,
)
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
)

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_UNAUTHENTICATED = 401
#: Apple or a browser's push service refuses the project's key for it, and not our token.
_PUSH_SERVICE_REFUSED = "THIRD_PARTY_AUTH_ERROR"
#: The device token belongs to an app that is gone: nothing will ever reach it again.
UNREGISTERED = "UNREGISTERED"
#: Refusals of the message or its token; others of their status are of us, or of the address.
_FOR_GOOD = frozenset({UNREGISTERED, "INVALID_ARGUMENT", "SENDER_ID_MISMATCH"})


def _check_account(path: Path) -> Path:
    read_account(path)
    return path


class FcmSettings(ProviderSettings):
    """The service account that may send, and where to."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_FCM_")

    credentials_file: Annotated[Path, AfterValidator(_check_account)]
    """The JSON file of a service account."""
    project_id: str | None = None
    """The Firebase project; that of the service account when absent."""
    token_url: http.SecureUrl | None = None
    """Where access tokens come from; the service account says so when absent."""
    base_url: http.SecureUrl = HttpUrl("https://fcm.googleapis.com")
    """Where the API is."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0


class _Detail(msgspec.Struct, frozen=True):
    error_code: str | None = msgspec.field(name="errorCode", default=None)


class _Error(msgspec.Struct, frozen=True):
    message: str | None = None
    status: str | None = None
    details: tuple[_Detail, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    name: str | None = None
    error: _Error | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Answer).decode


class FcmProvider(Provider):
    """One Firebase project for all push notifications."""

    Settings = FcmSettings
    name = "fcm"
    channels = frozenset({Channel.PUSH})

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: AccessTokens,
        url: str,
        timeout_seconds: float,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._url = url
        self.timeout_seconds = timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: FcmSettings) -> AsyncIterator["FcmProvider"]:
        """Open the pool of connections; the first send asks for the first token."""
        account = read_account(settings.credentials_file)
        project = settings.project_id or account.project_id
        base = str(settings.base_url).rstrip("/")
        async with http.open_session() as session:
            tokens = AccessTokens(
                session,
                account,
                scope=_SCOPE,
                url=str(settings.token_url or account.token_uri),
                timeout_seconds=settings.timeout_seconds,
            )
            url = f"{base}/v1/projects/{project}/messages:send"
            try:
                yield cls(session, tokens, url, settings.timeout_seconds)
            finally:
                await tokens.close()

    async def send(self, message: OutboundMessage) -> Outcome:
        """Send one message; a token that is refused is replaced once."""
        body = _encode({"message": message_body(message)})
        try:
            token = await self._tokens.current()
            status, outcome = await self._post(body, token)
            if (
                status == _UNAUTHENTICATED
                and outcome.code != _PUSH_SERVICE_REFUSED
                and self._tokens.forget(token)
            ):
                _, outcome = await self._post(body, await self._tokens.current())
        except TokenUnavailable as error:
            return error.outcome
        except http.NETWORK_ERRORS as error:
            return http.network_error(error)
        return outcome

    async def _post(self, body: bytes, token: str) -> tuple[int, Outcome]:
        async with self._session.post(
            self._url,
            data=body,
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
            },
            allow_redirects=False,
        ) as response:
            answer = await http.read(response.content)
            return response.status, outcome_of(
                response.status, http.retry_after(response.headers), answer
            )


def message_body(message: OutboundMessage) -> dict[str, object]:
    """Return the message as FCM takes it."""
    id_ = str(message.notification_id)
    shown = {"body": message.content}
    if message.subject:
        shown["title"] = message.subject
    return {
        "token": message.recipient,
        "notification": shown,
        "data": {"notification_id": id_},
        "android": {"notification": {"tag": id_}},
        "apns": {"headers": {"apns-collapse-id": id_}},
        "webpush": {"notification": {"tag": id_}},
    }


def outcome_of(
    status: int, retry_after_seconds: float | None, answer: bytes
) -> Outcome:
    """Say what an answer means, by FCM's own code where it gives one.

    Of 401, 403 and 404 only those are permanent that speak of the device token. The others
    speak of our account or our address, which an operator can mend.
    """
    try:
        said = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Answer()
    if 200 <= status < 300:
        if said.name is None:  # somebody else answered
            return Outcome(kind=OutcomeClass.TRANSIENT, code="garbled")
        return Outcome(
            kind=OutcomeClass.DELIVERED, code=str(status), message_id=said.name
        )
    error = said.error or _Error()
    codes = [detail.error_code for detail in error.details if detail.error_code]
    code = codes[0] if codes else error.status
    kind = http.failure_kind(status)
    if kind is OutcomeClass.PERMANENT and status != 400 and code not in _FOR_GOOD:
        kind = OutcomeClass.TRANSIENT
    return Outcome(
        kind=kind,
        code=code or str(status),
        words=error.message or http.text_of(answer),
        retry_after_seconds=retry_after_seconds,
    )
