"""Posts notifications to an HTTP endpoint: the generic way out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.addresses import AddressRefused, public_socket
from dispatcher.providers.port import OutboundMessage, Outcome, short
from dispatcher.providers.signatures import signature_headers, signing_key

if TYPE_CHECKING:
    from dispatcher.settings import DispatcherSettings

#: More of an answer than this is not read; its connection is then not used again.
_ANSWER_AT_MOST_BYTES = 8 * 1024
_KEEPALIVE_SECONDS = 30

_TRANSIENT = frozenset({408, 425})
_THROTTLED = 429
_GONE = 410


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    to: str
    channel: Channel
    content: str
    subject: str | None = None


class _Receipt(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str | int | None = None


_encode = msgspec.json.Encoder().encode
_decode_receipt = msgspec.json.Decoder(_Receipt).decode


class WebhookProvider:
    """One HTTP endpoint for all channels, over one pool of connections.

    Redirects are not followed: they would lead past the check of the address.
    """

    name = "webhook"
    channels = frozenset(Channel)

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        secret: str | None,
        timeout_seconds: float,
    ) -> None:
        self._session = session
        self._url = url
        self._key = signing_key(secret) if secret else None
        self.timeout_seconds = timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: "DispatcherSettings"
    ) -> AsyncIterator["WebhookProvider"]:
        """Open the pool of connections; the first request makes the first one."""
        connector = aiohttp.TCPConnector(
            limit=0,  # sends in flight are bounded before they come here
            keepalive_timeout=_KEEPALIVE_SECONDS,
            socket_factory=None if settings.webhook_allow_private else public_socket,
        )
        secret = settings.webhook_secret
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's holds
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "User-Agent": "tocsin"},
        ) as session:
            yield cls(
                session,
                str(settings.webhook_url),
                secret=secret.get_secret_value() if secret else None,
                timeout_seconds=settings.webhook_timeout_seconds,
            )

    async def send(self, message: OutboundMessage) -> Outcome:
        """Post one notification and say what the answer means."""
        body = _encode(
            _Body(message.recipient, message.channel, message.content, message.subject)
        )
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=self._headers(message, body),
                allow_redirects=False,
            ) as response:
                answer = await _read(response.content)
                return outcome_of(
                    response.status, response.headers.get("Retry-After"), answer
                )
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                return Outcome(
                    kind=OutcomeClass.PERMANENT,
                    code="address_refused",
                    words=str(error.os_error),
                )
            return _network_error(error)
        except (aiohttp.ClientError, OSError) as error:
            return _network_error(error)

    def _headers(self, message: OutboundMessage, body: bytes) -> dict[str, str]:
        id_ = str(message.notification_id)
        headers = {"Idempotency-Key": id_, "X-Correlation-ID": message.correlation_id}
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        if self._key is not None:
            headers |= signature_headers(self._key, message.notification_id, body)
        return headers


async def _read(content: aiohttp.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _ANSWER_AT_MOST_BYTES:
        part = await content.read(_ANSWER_AT_MOST_BYTES - len(answer))
        if not part:
            break
        answer += part
    return answer


def _network_error(error: Exception) -> Outcome:
    """Name the error by its type alone: its text may hold the URL and its credentials."""
    return Outcome(
        kind=OutcomeClass.TRANSIENT, code="network", words=type(error).__name__
    )


def outcome_of(status: int, retry_after: str | None, answer: bytes) -> Outcome:
    """Say what an HTTP answer means for the notification.

    A redirect is transient: it is the endpoint that moved, which an operator can mend.
    """
    if 200 <= status < 300:
        return Outcome(
            kind=OutcomeClass.DELIVERED,
            code=str(status),
            message_id=_message_id(answer),
        )
    words = answer.decode("utf-8", "replace") or None
    if status == _THROTTLED:
        kind = OutcomeClass.THROTTLED
    elif status in _TRANSIENT or status >= 500 or status < 400:
        kind = OutcomeClass.TRANSIENT
    else:
        kind = OutcomeClass.PERMANENT
    return Outcome(
        kind=kind,
        code="gone" if status == _GONE else str(status),
        words=words,
        retry_after_seconds=seconds_of(retry_after, datetime.now(UTC)),
    )


def _message_id(answer: bytes) -> str | None:
    """Read the provider's own id; an answer without one has delivered all the same."""
    try:
        id_ = _decode_receipt(answer).message_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if id_ is None else short(str(id_))


def seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date; None when it makes no sense."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
