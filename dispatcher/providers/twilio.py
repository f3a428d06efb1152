"""Sends text messages through Twilio.

Twilio documents no idempotency key for messages. Each request carries the notification's id
all the same, in the header that Twilio's own callbacks use, but nothing promises that it is
looked at. So a message whose answer was lost (a timeout, a reset, a dispatcher that died) is
sent again and may reach the recipient twice. That is chosen: the other way loses messages.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
import msgspec
from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from contracts.receipts import NOTIFICATION_PARAMETER
from dispatcher.providers import http
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
)

_THROTTLED = frozenset(
    {
        20429,  # too many requests
        14107,  # this sender's rate is exceeded
        21611,  # this sender's queue is full
        30022,  # the carrier's rate is exceeded
    }
)
_TRANSIENT = frozenset(
    {
        20003,  # our login is refused, which an operator can mend
        20005,  # our account is suspended, likewise
        30001,  # the queue is full
        30008,  # unknown to Twilio itself
        30017,  # the carrier is congested
    }
)
_LOGIN_REFUSED = 401
_FAILED = frozenset({"failed", "undelivered"})


class TwilioSettings(ProviderSettings):
    """The account, and the number or service that messages come from."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_TWILIO_")

    account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")]
    """Whose account it is."""
    key_sid: Annotated[str, Field(pattern=r"^SK[0-9a-fA-F]{32}$")] | None = None
    """An API key to log in with; the account itself when absent."""
    secret: SecretStr
    """The secret of the API key, or the account's auth token."""
    sender: Annotated[str, Field(pattern=r"^[A-Za-z0-9 &+_-]{3,34}$")]
    """A number, a short code, a name, or a messaging service (``MG…``)."""
    base_url: http.SecureUrl = HttpUrl("https://api.twilio.com")
    """Where the API is; another one for a region."""
    receipts_url: HttpUrl | None = None
    """Where Twilio tells what becomes of messages: the gateway's public address and
    ``/api/v1/receipts/twilio``. Without it, it tells nothing."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0


class _Answer(msgspec.Struct, frozen=True):
    """A message as Twilio made it, or an error: the two share no member but ``status``."""

    sid: str | None = None
    status: str | int | None = None
    error_code: int | None = None
    error_message: str | None = None
    code: int | None = None
    message: str | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class TwilioProvider(Provider):
    """One account and one sender for all text messages."""

    Settings = TwilioSettings
    name = "twilio"
    channels = frozenset({Channel.SMS})

    def __init__(
        self, session: aiohttp.ClientSession, settings: TwilioSettings
    ) -> None:
        self._session = session
        base = str(settings.base_url).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{settings.account_sid}/Messages.json"
        is_service = settings.sender.startswith("MG") and len(settings.sender) == 34
        self._from = {"MessagingServiceSid" if is_service else "From": settings.sender}
        self._receipts_url = settings.receipts_url and str(settings.receipts_url)
        self.timeout_seconds = settings.timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: TwilioSettings) -> AsyncIterator["TwilioProvider"]:
        """Open the pool of connections."""
        user = settings.key_sid or settings.account_sid
        login = f"{user}:{settings.secret.get_secret_value()}".encode()
        token = base64.b64encode(login).decode()
        async with http.open_session({"Authorization": f"Basic {token}"}) as session:
            yield cls(session, settings)

    async def send(self, message: OutboundMessage) -> Outcome:
        """Create one message and say what Twilio made of it."""
        form = {"To": message.recipient, "Body": message.content, **self._from}
        if self._receipts_url:
            # Our id in it finds the notification, even before Twilio's own is in the ledger.
            id_ = message.notification_id
            form["StatusCallback"] = (
                f"{self._receipts_url}?{NOTIFICATION_PARAMETER}={id_}"
            )
        try:
            async with self._session.post(
                self._url,
                data=form,
                headers={"I-Twilio-Idempotency-Token": str(message.notification_id)},
                allow_redirects=False,
            ) as response:
                answer = await http.read(response.content)
                return outcome_of(
                    response.status, http.retry_after(response.headers), answer
                )
        except http.NETWORK_ERRORS as error:
            return http.network_error(error)


def outcome_of(
    status: int, retry_after_seconds: float | None, answer: bytes
) -> Outcome:
    """Say what an answer means, by Twilio's own code where it gives one.

    Success without a message's id is not Twilio's: a proxy or a wrong address answered, and
    taking it for delivered would lose the message.
    """
    try:
        said = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Answer()
    code = said.code or said.error_code
    if 200 <= status < 300 and code is None and said.status not in _FAILED:
        if said.sid is None:
            return Outcome(kind=OutcomeClass.TRANSIENT, code="garbled")
        return Outcome(
            kind=OutcomeClass.DELIVERED, code=str(status), message_id=said.sid
        )
    return Outcome(
        kind=_failure_kind(status, code),
        code=str(code or status),
        words=said.message or said.error_message or http.text_of(answer),
        message_id=said.sid,
        retry_after_seconds=retry_after_seconds,
    )


def _failure_kind(status: int, code: int | None) -> OutcomeClass:
    if code in _THROTTLED:
        return OutcomeClass.THROTTLED
    if code in _TRANSIENT or status == _LOGIN_REFUSED:
        return OutcomeClass.TRANSIENT
    if 200 <= status < 300:  # made, and failed at once
        return OutcomeClass.PERMANENT
    return http.failure_kind(status)
