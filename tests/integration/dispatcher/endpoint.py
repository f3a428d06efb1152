"""A provider's HTTP endpoint that remembers what it was sent and answers as it is told."""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request, in full."""

    key: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    attempt: int  #: how often this idempotency key was seen, this request included
    at: float = field(default_factory=time.monotonic)  #: seconds


@dataclass(frozen=True)
class Reply:
    status: int = 202
    body: str = '{"messageId":"m-1","status":"accepted"}'
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Received], Reply | Awaitable[Reply]]


class Endpoint:
    """Accepts everything until ``answer`` is replaced."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.seen: Counter[str] = Counter()
        self.in_flight = 0
        self.peers: set[object] = set()  #: the client's end of every connection
        self.answer: Answer = lambda _received: Reply()

    @property
    def keys(self) -> list[str]:
        return [received.key for received in self.received]

    async def handle(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        raw = await request.read()
        key = request.headers["Idempotency-Key"]
        self.seen[key] += 1
        received = Received(
            key, dict(request.headers), await request.json(), raw, self.seen[key]
        )
        self.received.append(received)
        self.in_flight += 1
        try:
            reply = self.answer(received)
            if inspect.isawaitable(reply):
                reply = await reply
        finally:
            self.in_flight -= 1
        return web.Response(
            status=reply.status, text=reply.body, headers=dict(reply.headers)
        )


class Gate:
    """An answer that holds every request until it is opened."""

    def __init__(self, then: Reply | None = None) -> None:
        self.opened = asyncio.Event()
        self._then = then or Reply()

    async def __call__(self, _received: Received) -> Reply:
        await self.opened.wait()
        return self._then


@asynccontextmanager
async def running_endpoint() -> AsyncIterator[Endpoint]:
    """Serve on a free port until the block is left; requests still held are dropped."""
    endpoint = Endpoint()
    app = web.Application()
    app.add_routes([web.post("/send", endpoint.handle)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint.url = f"http://{host}:{port}/send"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
