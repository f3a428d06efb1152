"""One gateway over HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import aiohttp
import msgspec

from contracts.problems import Problem
from ops.client.answers import Answer, Batch, Change, Notification, Trace
from ops.client.errors import GatewayError, Refused, Unreadable, explained
from ops.client.following import follow
from ops.runtime.version import version

_NOTIFICATIONS = "/api/v1/notifications"
_BATCHES = f"{_NOTIFICATIONS}/batch"

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)

_Value = TypeVar("_Value")


class Gateway:
    """One gateway, with the key to speak to it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url.rstrip("/")

    async def reach(self) -> None:
        """Raise Unreachable unless somebody answers there, whatever the answer."""
        with explained(self.url):
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

    async def follow(self, id_: UUID) -> AsyncGenerator[Change, None]:
        """Yield where a notification stands now, and then every change, to the last.

        Lost connections are made again and what was missed is told as the status it led
        to, so a final one is never missed. Raises Refused when there is no such
        notification, and Unreachable when the gateway does not come back.
        """
        async for change in follow(self._session, self.url, id_):
            yield change

    async def _post(
        self, path: str, type_: type[_Value], body: bytes, key: str
    ) -> Answer[_Value]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return await self.ask("POST", path, type_, data=body, headers=headers)

    async def ask(
        self, method: str, path: str, type_: type[_Value], **options: Any
    ) -> Answer[_Value]:
        """Send one request and read what was answered."""
        with explained(self.url):
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


@asynccontextmanager
async def open_gateway(url: str, key: str | None) -> AsyncIterator[Gateway]:
    """Speak to the gateway at an address, with an API key if it wants one."""
    headers = {"User-Agent": f"tocsin/{version()}"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        yield Gateway(session, url)
