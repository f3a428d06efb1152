"""Keeps a bounded number of connections to one SMTP server, and uses them again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiosmtplib

#: Less than any server's patience; an older one is likely to be gone on the other side.
_FRESH_SECONDS = 30.0
_GOODBYE_SECONDS = 1.0

_Result = TypeVar("_Result")


class Stale(Exception):
    """The server had ended the connection before it was told of a mail."""

    def __init__(self, because: aiosmtplib.SMTPException) -> None:
        super().__init__("the server ended the connection")
        self.because = because


class Connections:
    """A pool; the connection used last is used first, so that the others age and go."""

    def __init__(
        self, connect: Callable[[], Awaitable[aiosmtplib.SMTP]], at_most: int
    ) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(at_most)
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._closed = False

    async def use(
        self, transact: Callable[[aiosmtplib.SMTP], Awaitable[_Result]]
    ) -> _Result:
        """Run one transaction on a connection that nobody else uses meanwhile.

        A connection is kept only when its transaction returns; one that raises, or that is
        cancelled, leaves it in a state nobody knows. ``Stale`` from a connection that was
        used before is answered with a new one: the mail has not been spoken of yet.
        """
        async with self._places:
            while (kept := self._take()) is not None:
                try:
                    return await self._run(kept, transact)
                except Stale:
                    continue
            return await self._run(await self._connect(), transact)

    def _take(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and time.monotonic() - since < _FRESH_SECONDS:
                return client
            client.close()
        return None

    async def _run(
        self,
        client: aiosmtplib.SMTP,
        transact: Callable[[aiosmtplib.SMTP], Awaitable[_Result]],
    ) -> _Result:
        done = False
        try:
            result = await transact(client)
            done = client.is_connected and not self._closed
        finally:
            if done:
                self._idle.append((client, time.monotonic()))
            else:
                client.close()
        return result

    async def close(self) -> None:
        """Say goodbye on every connection, and end it; those in use end after their mail."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_leave(client) for client, _ in idle))


async def _leave(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=_GOODBYE_SECONDS)
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        client.close()
