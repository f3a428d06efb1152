"""The bodies of requests on their way in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
)

from contracts.problems import ProblemType
from gateway.bodies import too_large
from gateway.errors import ClientGone, Refusal

#: A client that is refused in the middle of its upload is listened to for so long and so
#: much; cut off at once, it would see a broken connection and not its answer.
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 64 << 20


class Patience:
    """How long the gateway waits for its clients: less when it has to stop."""

    def __init__(self, body_seconds: float) -> None:
        self._body_seconds = body_seconds
        self._waits: set[asyncio.Timeout] = set()
        self._end = float("inf")

    def end_within(self, seconds: float) -> None:
        """Let no wait, present or future, last longer than this from now on."""
        self._end = asyncio.get_running_loop().time() + seconds
        for wait in self._waits:
            wait.reschedule(min(wait.when() or self._end, self._end))

    def for_a_body(self) -> AbstractAsyncContextManager[None]:
        """Wait for a whole body; TimeoutError when it takes too long."""
        return self.at_most(self._body_seconds)

    @asynccontextmanager
    async def at_most(self, seconds: float) -> AsyncIterator[None]:
        """Wait for a client; TimeoutError when it takes longer."""
        until = min(asyncio.get_running_loop().time() + seconds, self._end)
        async with asyncio.timeout_at(until) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)


def too_slow() -> Refusal:
    """Return the refusal of a body that takes too long."""
    return Refusal(ProblemType.BAD_REQUEST, "the body did not arrive in time")


class Upload:
    """One body. Knows whether all of it has come in, whoever reads it."""

    __slots__ = ("_ended", "_patience", "_receive", "is_over", "received_bytes")

    def __init__(self, receive: ASGIReceiveCallable, patience: Patience) -> None:
        self._receive = receive
        self._patience = patience
        self._ended: asyncio.Event | None = None
        self.received_bytes = 0
        self.is_over = False

    async def receive(self) -> ASGIReceiveEvent:
        """Pass on the next event."""
        event = await self._receive()
        if event["type"] == "http.request":
            self.received_bytes += len(event["body"])
            self.is_over = not event["more_body"] or self.received_bytes > _LINGER_BYTES
        else:
            self.is_over = True
        if self.is_over and self._ended is not None:
            self._ended.set()
        return event

    async def read(self, at_most_bytes: int) -> bytes:
        """Return the whole body; ``payload-too-large`` as soon as it is too long."""
        chunks: list[bytes] = []
        try:
            async with self._patience.for_a_body():
                while not self.is_over:
                    event = await self.receive()
                    if event["type"] != "http.request":
                        raise ClientGone
                    chunks.append(event["body"])
                    if self.received_bytes > at_most_bytes:
                        raise too_large(at_most_bytes)
        except TimeoutError:
            raise too_slow() from None
        return b"".join(chunks)

    async def discard(self) -> None:
        """Read on until the client has sent everything, or enough."""
        try:
            async with self._patience.at_most(_LINGER_SECONDS):
                while not self.is_over:
                    await self.receive()
        except TimeoutError:
            pass

    def then_finish(self, send: ASGISendCallable) -> ASGISendCallable:
        """Wrap ``send`` so that a response ends after the upload, which someone else reads."""

        async def finish(event: ASGISendEvent) -> None:
            is_last = event["type"] == "http.response.body" and not event["more_body"]
            if is_last and not self.is_over:
                await self._wait_for_the_end()
            await send(event)

        return finish

    async def _wait_for_the_end(self) -> None:
        self._ended = asyncio.Event()
        try:
            async with self._patience.at_most(_LINGER_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            pass
