"""The gateway's HTTP API, as the `tocsin` command uses it.

GatewayError
├── Unreachable   nobody answered, or the answer was lost; whether it took effect is unknown
├── Refused       the gateway said no, with a problem
└── Unreadable    whoever answered is no gateway
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.messages import UtcTime
from contracts.problems import Problem
from ops.runtime.tasks import wait_for_stop
from ops.runtime.version import version

_NOTIFICATIONS = "/api/v1/notifications"
_BATCHES = f"{_NOTIFICATIONS}/batch"

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_FIELDS_SHOWN = 5
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

_Value = TypeVar("_Value")


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as the gateway shows it; what it does not say is None."""

    id: UUID
    channel: Channel
    priority: Priority
    status: Status
    attempts: int
    max_attempts: int
    created_at: UtcTime
    updated_at: UtcTime
    correlation_id: str | None = None
    batch_id: UUID | None = None
    scheduled_at: UtcTime | None = None
    next_retry_at: UtcTime | None = None
    failure_class: str | None = None
    failure_reason: str | None = None
    provider: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. ``counts`` is empty in the answer that accepts it."""

    id: UUID
    size: int
    created_at: UtcTime
    counts: dict[Status, int] = {}


class TraceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    event: str
    created_at: UtcTime
    details: dict[str, Any] | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All that happened to one notification, oldest first."""

    notification_id: UUID
    entries: list[TraceEntry]


class Answer(NamedTuple, Generic[_Value]):
    """What the gateway answered: understood, and as it came."""

    value: _Value
    body: bytes
    replayed: bool  #: the answer to an earlier request with the same idempotency key


class GatewayError(Exception):
    """Base of what can go wrong; the message is one sentence for people."""


class Unreachable(GatewayError):
    """Nobody answered, or the answer was lost; whether it took effect is unknown."""


class Unreadable(GatewayError):
    """Whoever answered is no gateway."""


class Refused(GatewayError):
    """The gateway said no."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None) -> None:
        super().__init__(_sentence(problem))
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def passes(self) -> bool:
        """Say whether the same request, sent again after a while, may be accepted."""
        return self.problem.status in {429, 502, 503, 504} or (
            self.retry_after_seconds is not None and self.problem.status == 409
        )


class Gateway:
    """One gateway, with the key to speak to it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url.rstrip("/")

    async def reach(self) -> None:
        """Raise Unreachable unless somebody answers there, whatever the answer."""
        with _explained(self.url):
            async with self._session.get(f"{self.url}/healthz/live"):
                pass

    async def create(self, body: bytes, key: str) -> Answer[Notification]:
        """Have one notification accepted; the same key and body do so once."""
        return await self._post(_NOTIFICATIONS, Notification, body, key)

    async def create_batch(self, body: bytes, key: str) -> Answer[Batch]:
        """Have up to 1,000 notifications accepted; the same key and body do so once."""
        return await self._post(_BATCHES, Batch, body, key)

    async def notification(self, id_: UUID) -> Answer[Notification]:
        """Ask how a notification stands."""
        return await self.ask("GET", f"{_NOTIFICATIONS}/{id_}", Notification)

    async def batch(self, id_: UUID) -> Answer[Batch]:
        """Ask how a batch stands."""
        return await self.ask("GET", f"{_BATCHES}/{id_}", Batch)

    async def trace(self, id_: UUID) -> Answer[Trace]:
        """Ask what happened to a notification."""
        return await self.ask("GET", f"{_NOTIFICATIONS}/{id_}/trace", Trace)

    async def _post(
        self, path: str, type_: type[_Value], body: bytes, key: str
    ) -> Answer[_Value]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return await self.ask("POST", path, type_, data=body, headers=headers)

    async def ask(
        self, method: str, path: str, type_: type[_Value], **options: Any
    ) -> Answer[_Value]:
        """Send one request and read what was answered."""
        with _explained(self.url):
            async with self._session.request(
                method, f"{self.url}{path}", **options
            ) as response:
                body = await response.read()
        if not response.ok:
            raise self._refusal(response, body)
        try:
            value = msgspec.json.decode(body, type=type_)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unreadable(
                f"{self.url} does not answer like a gateway: {error}"
            ) from error
        return Answer(value, body, "Idempotent-Replay" in response.headers)

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> GatewayError:
        retry_after = response.headers.get("Retry-After", "")
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # A proxy in between, or something else altogether.
            problem = Problem(
                type="about:blank",
                title=response.reason or "refused",
                status=response.status,
                detail=f"{self.url} answered {response.status} {response.reason}",
                instance=response.url.path,
                correlation_id="",
            )
        return Refused(problem, float(retry_after) if retry_after.isdigit() else None)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what a request can raise into Unreachable."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"{url} did not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else error.strerror
        raise Unreachable(f"{url} cannot be reached: {reason}") from error
    except aiohttp.ClientError as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{url} did not answer: {reason}") from error


@asynccontextmanager
async def open_gateway(url: str, key: str | None) -> AsyncIterator[Gateway]:
    """Speak to the gateway at an address, with an API key if it wants one."""
    headers = {"User-Agent": f"tocsin/{version()}"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        yield Gateway(session, url)


async def patiently(
    ask: Callable[[], Awaitable[_Value]],
    *,
    at_most_seconds: float,
    waiting: Callable[[GatewayError, float], None],
    stopping: asyncio.Event,
) -> _Value:
    """Ask again while the refusal is one that passes, at the time the gateway names.

    Only for what has an idempotency key or changes nothing. ``waiting`` is told why and how
    long before each pause. The last error is raised when the next try would come after
    ``at_most_seconds``, and when ``stopping`` is set.
    """
    deadline = time.monotonic() + at_most_seconds
    growing = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await ask()
        except (Refused, Unreachable) as error:
            pause = growing
            if isinstance(error, Refused):
                if not error.passes:
                    raise
                pause = error.retry_after_seconds or growing
            if stopping.is_set() or time.monotonic() + pause > deadline:
                raise
            waiting(error, pause)
            if await wait_for_stop(stopping, pause):
                raise
            growing = min(growing * 2, _LONGEST_PAUSE_SECONDS)


def _sentence(problem: Problem) -> str:
    slug = problem.type.rpartition("/")[2]
    parts = [
        error.pointer
        if error.detail == problem.detail
        else f"{error.pointer}: {error.detail}"
        for error in problem.errors[:_FIELDS_SHOWN]
    ]
    if (more := len(problem.errors) - _FIELDS_SHOWN) > 0:
        parts.append(f"{more} more")
    where = f" at {'; '.join(parts)}" if parts else ""
    said = problem.detail or problem.title
    return f"{said}{where} ({problem.status} {slug})"


def is_address(url: str) -> bool:
    """Say whether this can be the address of a gateway."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def moment(text: str) -> datetime:
    """Read a time with its offset (RFC 3339); raises ValueError."""
    try:
        return msgspec.convert(text, UtcTime)
    except msgspec.ValidationError as error:
        raise ValueError(
            "a time is written with its offset, like 2026-01-31T09:00:00Z"
        ) from error
