"""Posts notifications to an HTTP endpoint: the generic way out."""

import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
import msgspec
from pydantic import HttpUrl, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from yarl import URL

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from contracts.signatures import signature_headers, signing_key
from dispatcher.providers import http
from dispatcher.providers.addresses import AddressRefused, is_public, public_socket
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
    short,
)

_GONE = 410


class WebhookSettings(ProviderSettings):
    """Where to post, and how to prove that it was us."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_WEBHOOK_")

    url: HttpUrl
    """Where every notification is posted."""
    allow_private: bool = False
    """Call addresses that are not public too: loopback, private networks."""
    secret: SecretStr | None = None
    """Signs every request with Standard Webhooks headers; ``whsec_`` and base64, or any text."""
    previous_secret: SecretStr | None = None
    """Signs beside it while receivers still hold the old one."""

    @field_validator("secret", "previous_secret")
    @classmethod
    def secret_is_usable(cls, secret: SecretStr | None) -> SecretStr | None:
        """Refuse what no key can be made of."""
        if secret is not None:
            signing_key(secret.get_secret_value())
        return secret

    @property
    def keys(self) -> list[bytes]:
        """Return the keys to sign with, the current one first."""
        secrets = [s for s in (self.secret, self.previous_secret) if s is not None]
        return [signing_key(secret.get_secret_value()) for secret in secrets]

    @model_validator(mode="after")
    def a_previous_secret_has_a_successor(self) -> Self:
        """Refuse to sign with the old secret alone."""
        if self.previous_secret is not None and self.secret is None:
            raise ValueError(
                "TOCSIN_WEBHOOK_PREVIOUS_SECRET needs TOCSIN_WEBHOOK_SECRET"
            )
        return self

    @model_validator(mode="after")
    def url_can_be_reached(self) -> Self:
        """Refuse a URL that no request would reach."""
        host = (self.url.host or "").strip("[]")
        if not self.allow_private and _is_private(host):
            raise ValueError(
                f"TOCSIN_WEBHOOK_URL: {host} is not a public address; "
                "set TOCSIN_WEBHOOK_ALLOW_PRIVATE=true if it is meant"
            )
        return self


def _is_private(host: str) -> bool:
    if http.is_loopback(host):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False  # a name: checked when it is resolved
    return not is_public(host)


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    to: str
    channel: Channel
    content: str
    subject: str | None = None


class _Receipt(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str | int | None = None


_encode = msgspec.json.Encoder().encode
_decode_receipt = msgspec.json.Decoder(_Receipt).decode


class WebhookProvider(Provider):
    """One HTTP endpoint for all channels, over one pool of connections.

    Redirects are not followed: they would lead past the check of the address.
    """

    Settings = WebhookSettings
    name = "webhook"
    channels = frozenset(Channel)

    def __init__(
        self, session: aiohttp.ClientSession, settings: WebhookSettings
    ) -> None:
        self._session = session
        self._url = URL(str(settings.url))
        self._keys = settings.keys
        self.timeout_seconds = settings.timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: WebhookSettings) -> AsyncIterator["WebhookProvider"]:
        """Open the pool of connections."""
        async with http.open_session(
            {"Content-Type": "application/json"},
            socket_factory=None if settings.allow_private else public_socket,
        ) as session:
            yield cls(session, settings)

    async def send(self, message: OutboundMessage) -> Outcome:
        """Post one notification and say what the answer means."""
        body = _encode(
            _Body(message.recipient, message.channel, message.content, message.subject)
        )
        try:
            response = await self._session.post(
                self._url,
                # Handed over as it is: a payload that aiohttp has to look up costs more.
                data=aiohttp.BytesPayload(body, content_type="application/json"),
                headers=self._headers(message, body),
                allow_redirects=False,
            )
            try:
                answer = await http.read(response.content)
                return outcome_of(response.status, response.headers, answer)
            finally:
                response.release()
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                # It says something of the name's server now, and nothing of the notification.
                return Outcome(
                    kind=OutcomeClass.TRANSIENT,
                    code="address_refused",
                    words=str(error.os_error),
                )
            return http.network_error(error)
        except http.NETWORK_ERRORS as error:
            return http.network_error(error)

    def _headers(self, message: OutboundMessage, body: bytes) -> dict[str, str]:
        id_ = str(message.notification_id)
        headers = {"Idempotency-Key": id_, "X-Correlation-ID": message.correlation_id}
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        if self._keys:
            headers |= signature_headers(self._keys, message.notification_id, body)
        return headers


def outcome_of(status: int, headers: Mapping[str, str], answer: bytes) -> Outcome:
    """Say what an HTTP answer means for the notification."""
    if 200 <= status < 300:
        return Outcome(
            kind=OutcomeClass.DELIVERED,
            code=str(status),
            message_id=_message_id(answer),
        )
    outcome = http.refused(status, http.retry_after(headers), answer)
    if status == _GONE:
        return msgspec.structs.replace(outcome, code="gone")
    return outcome


def _message_id(answer: bytes) -> str | None:
    """Read the provider's own id; an answer without one has delivered all the same."""
    try:
        id_ = _decode_receipt(answer).message_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if id_ is None else short(str(id_))
