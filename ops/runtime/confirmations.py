"""Waits for JetStream's acknowledgements of whole groups.

One inbox for the connection, one reply subject for each group, and nothing for each
message: no future, no timer. Acknowledgements of one group are only counted.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg


class Expected:
    """The acknowledgements one group waits for."""

    def __init__(self, reply: str, number: int) -> None:
        self.reply = reply  #: where the group's messages ask to be acknowledged
        self._missing = number
        self._last: asyncio.Future[dict[str, Any]] = (
            asyncio.get_running_loop().create_future()
        )

    async def last(self, timeout_seconds: float) -> dict[str, Any]:
        """Return the last acknowledgement, or the first that is an error.

        Raises TimeoutError when not all have come in time.
        """
        async with asyncio.timeout(timeout_seconds):
            return await self._last

    def received(self, message: Msg) -> None:
        """Count one acknowledgement."""
        self._missing -= 1
        is_refusal = message.headers is not None or b'"error"' in message.data
        if (self._missing <= 0 or is_refusal) and not self._last.done():
            self._last.set_result(_read(message))


def _read(message: Msg) -> dict[str, Any]:
    if not message.data:
        return {"error": {"description": "no stream takes this subject"}}
    answer: dict[str, Any] = json.loads(message.data)
    return answer


class Confirmations:
    """Hands acknowledgements to the groups that wait for them."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._inbox = ""
        self._opening = asyncio.Lock()
        self._numbers = count()
        self._expected: dict[str, Expected] = {}

    async def open(self) -> None:
        """Subscribe, once; the subscription survives reconnects.

        Raises ``OutboundBufferLimitError`` while the bus is away.
        """
        if self._inbox:
            return
        async with self._opening:
            if not self._inbox:
                if not self._nc.is_connected:
                    raise nats.errors.OutboundBufferLimitError
                inbox = self._nc.new_inbox()
                await self._nc.subscribe(f"{inbox}.*", cb=self._received)
                self._inbox = inbox

    @contextmanager
    def expect(self, number: int) -> Iterator[Expected]:
        """Wait for ``number`` acknowledgements; those that come after the block are dropped."""
        reply = f"{self._inbox}.{next(self._numbers)}"
        expected = self._expected[reply] = Expected(reply, number)
        try:
            yield expected
        finally:
            del self._expected[reply]

    async def _received(self, message: Msg) -> None:
        expected = self._expected.get(message.subject)
        if expected is not None:
            expected.received(message)
