"""What providers that speak HTTP share: their pool of connections, and how answers are read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Annotated

import aiohttp
from aiohttp.connector import SocketFactoryType
from pydantic import AfterValidator, HttpUrl

from contracts.outcomes import OutcomeClass
from dispatcher.providers.port import Outcome

#: More of an answer than this is not read; its connection is then not used again.
ANSWER_AT_MOST_BYTES = 8 * 1024
_KEEPALIVE_SECONDS = 30

#: What a request may end with instead of an answer.
NETWORK_ERRORS = (aiohttp.ClientError, OSError)

_TRANSIENT = frozenset({408, 425})
_THROTTLED = 429


@asynccontextmanager
async def open_session(
    headers: Mapping[str, str] | None = None,
    *,
    socket_factory: SocketFactoryType | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a pool of connections; the first request makes the first one.

    It sets no limits of its own: sends in flight are bounded before they come here, and the
    dispatcher ends one that takes too long.
    """
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=_KEEPALIVE_SECONDS, socket_factory=socket_factory
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "tocsin", **(headers or {})},
    ) as session:
        yield session


async def read(content: aiohttp.StreamReader) -> bytes:
    """Read an answer, as far as it is kept."""
    answer = b""
    while len(answer) < ANSWER_AT_MOST_BYTES and not content.at_eof():
        answer += await content.read(ANSWER_AT_MOST_BYTES - len(answer))
    return answer


def text_of(answer: bytes) -> str | None:
    """Return an answer's words, if it has any."""
    return answer.decode("utf-8", "replace") or None


def network_error(error: Exception) -> Outcome:
    """Name the error by its type alone: its text may hold the URL and its credentials."""
    return Outcome(
        kind=OutcomeClass.TRANSIENT, code="network", words=type(error).__name__
    )


def failure_kind(status: int) -> OutcomeClass:
    """Say what a status other than success means for the notification.

    A redirect is transient: it is the endpoint that moved, which an operator can mend.
    """
    if status == _THROTTLED:
        return OutcomeClass.THROTTLED
    if status in _TRANSIENT or status >= 500 or status < 400:
        return OutcomeClass.TRANSIENT
    return OutcomeClass.PERMANENT


def refused(status: int, retry_after_seconds: float | None, answer: bytes) -> Outcome:
    """Return the outcome of a status other than success, in the answer's own words."""
    return Outcome(
        kind=failure_kind(status),
        code=str(status),
        words=text_of(answer),
        retry_after_seconds=retry_after_seconds,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer asks us to wait."""
    return seconds_of(headers.get("Retry-After"), datetime.now(UTC))


def seconds_of(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date; None when it makes no sense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _refuse_clear_text(url: HttpUrl) -> HttpUrl:
    if url.scheme != "https" and not is_loopback(url.host or ""):
        raise ValueError("credentials go over https only, except to this machine")
    return url


#: Where credentials are sent to.
SecureUrl = Annotated[HttpUrl, AfterValidator(_refuse_clear_text)]


def is_loopback(host: str) -> bool:
    """Say whether a host, as written, is this machine."""
    host = host.strip("[]")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
