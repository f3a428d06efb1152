"""The body of one request on its way in."""

import asyncio

from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
)

from contracts.problems import ProblemType
from gateway.bodies import too_large
from gateway.errors import ClientGone, Refusal

#: A body that is slower than this is given up.
_READ_SECONDS = 30.0

#: A client that is refused in the middle of its upload is listened to for so long and so
#: much; cut off at once, it would see a broken connection and not its answer.
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 64 << 20


class Upload:
    """Knows whether the whole body has come in, whoever reads it."""

    __slots__ = ("_receive", "ended", "is_over", "received_bytes")

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self.received_bytes = 0
        self.is_over = False
        self.ended: asyncio.Event | None = None

    async def receive(self) -> ASGIReceiveEvent:
        """Pass on the next event."""
        event = await self._receive()
        if event["type"] == "http.request":
            self.received_bytes += len(event["body"])
            is_over = not event["more_body"] or self.received_bytes > _LINGER_BYTES
        else:
            is_over = True
        if is_over:
            self.is_over = True
            if self.ended is not None:
                self.ended.set()
        return event

    async def read(self, at_most_bytes: int) -> bytes:
        """Return the whole body; ``payload-too-large`` as soon as it is too long."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await self._read(at_most_bytes)
        except TimeoutError:
            raise Refusal(
                ProblemType.BAD_REQUEST, "the body did not arrive in time"
            ) from None

    async def _read(self, at_most_bytes: int) -> bytes:
        chunks: list[bytes] = []
        while not self.is_over:
            event = await self.receive()
            if event["type"] != "http.request":
                raise ClientGone
            chunks.append(event["body"])
            if self.received_bytes > at_most_bytes:
                raise too_large(at_most_bytes)
        return b"".join(chunks)

    async def discard(self) -> None:
        """Read on until the client has sent everything, or enough."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self.is_over:
                    await self.receive()
        except TimeoutError:
            pass

    def then_finish(self, send: ASGISendCallable) -> ASGISendCallable:
        """Wrap ``send`` so that a response ends after the upload, which someone else reads."""

        async def finish(event: ASGISendEvent) -> None:
            is_last = event["type"] == "http.response.body" and not event["more_body"]
            if is_last and not self.is_over:
                self.ended = asyncio.Event()
                try:
                    async with asyncio.timeout(_LINGER_SECONDS):
                        await self.ended.wait()
                except TimeoutError:
                    pass
            await send(event)

        return finish
