"""Keeps passes of the event loop short while urgent work comes.

Whatever happens to a notification, from its arrival to its settlement, takes a dozen passes of
the loop. When every one of two hundred sends that ended in a pass begins the next, a pass takes
as long as they all.
"""

import asyncio
import time
from collections import deque

#: How long sends may go on beginning in one pass, and how many of those that wait begin anyway.
_PASS_SECONDS = 0.001
_EACH_PASS = 8
#: Urgent work that came makes more of it likely for so long.
_NARROW_SECONDS = 5.0


class Turnstile:
    """Stands open until urgent work comes; then who is late in a pass waits for a later one."""

    def __init__(self, pass_seconds: float = _PASS_SECONDS) -> None:
        self._pass_seconds = pass_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._narrow_until = 0.0
        self._pass_until = 0.0
        self._is_turning = False

    def narrow(self, urgent: int) -> None:
        """Keep passes short from now on, and let as many as there are urgent ones go through."""
        self._narrow_until = time.monotonic() + _NARROW_SECONDS
        self._let_through(urgent)

    async def go_through(self) -> None:
        """Return at once or in a later pass."""
        now = time.monotonic()
        if now >= self._narrow_until:
            return
        if not self._is_turning:
            self._turn(now)
        if now >= self._pass_until:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _let_through(self, count: int) -> None:
        while count and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _turn(self, now: float) -> None:
        self._is_turning = True
        self._pass_until = now + self._pass_seconds
        asyncio.get_running_loop().call_soon(self._turned)

    def _turned(self) -> None:
        self._is_turning = False
        if self._waiting:
            self._let_through(_EACH_PASS)
            self._turn(time.monotonic())
