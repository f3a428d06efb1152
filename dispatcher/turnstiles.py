"""Keeps the processor from being full while urgent work comes.

Whatever happens to a notification, from its arrival to its settlement, takes a dozen passes of
the event loop and as many turns on the processor, here and at every server it asks. Where sends
are answered at once, the others would fill each of those passes and leave no processor idle.
"""

import asyncio
import time
from collections import deque

from contracts.channels import Channel

#: Urgent work that came makes more of it likely for so long.
_NARROW_SECONDS = 5.0
#: More urgent work than this is a backlog: nothing is kept free for it, and the shares of its
#: channel's lanes hold.
_FEW = 64
#: How many of each channel begin in one pass.
_EACH_PASS = 4
#: How much time on the processor may be saved up; more would make a pass long.
_SAVED_AT_MOST_SECONDS = 0.001
#: Between two looks at the processor; after the longer one a few begin whatever it shows.
_LOOK_SECONDS, _LOOK_AT_LEAST_SECONDS = 0.001, 0.02


class Turnstile:
    """Stands open until urgent work comes; then the others begin as the processor allows.

    ``share`` is how much of one processor this process may use before they have to wait.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: dict[Channel, deque[asyncio.Future[None]]] = {
            channel: deque() for channel in Channel
        }
        self._narrow_until = 0.0
        self._saved_seconds = 0.0
        #: By the clock, and by this process's processor time.
        self._looked_at = (0.0, 0.0)
        self._is_turning = False

    @property
    def is_narrow(self) -> bool:
        """Say whether urgent ones come, a few at a time."""
        return time.monotonic() < self._narrow_until

    def narrow(self, urgent: int) -> None:
        """Make the others wait from now on, because of so many urgent ones."""
        if urgent > _FEW:
            self.open()
        else:
            self._narrow_until = time.monotonic() + _NARROW_SECONDS

    def open(self) -> None:
        """Let everybody through, at once and from now on."""
        self._narrow_until = 0.0
        for channel, waiting in self._waiting.items():
            self.let_through(channel, len(waiting))

    def let_through(self, channel: Channel, count: int) -> None:
        """Let so many go through at once, as when they will take the urgent ones."""
        waiting = self._waiting[channel]
        while count and waiting:
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    async def go_through(self, channel: Channel) -> None:
        """Return at once, or when it is this one's turn."""
        if not self.is_narrow:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting[channel].append(waiter)
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._turn)
        await waiter

    def _turn(self) -> None:
        """Let a few of each channel through, and come again when more may."""
        for channel, waiting in self._waiting.items():
            self.let_through(channel, _EACH_PASS if self.is_narrow else len(waiting))
        self._is_turning = any(self._waiting.values())
        if not self._is_turning:
            return
        loop = asyncio.get_running_loop()
        if (saved := self._save()) > 0:
            loop.call_soon(self._turn)
        else:
            delay = max(_LOOK_SECONDS, -saved / self._share)
            loop.call_later(min(_LOOK_AT_LEAST_SECONDS, delay), self._turn)

    def _save(self) -> float:
        """Return the seconds of processor time that may be used at once; below 0 are owed."""
        then, used_then = self._looked_at
        now, used = self._looked_at = time.monotonic(), time.process_time()
        saved = self._saved_seconds + self._share * (now - then) - (used - used_then)
        owed_at_most = self._share * _LOOK_AT_LEAST_SECONDS
        self._saved_seconds = max(-owed_at_most, min(saved, _SAVED_AT_MOST_SECONDS))
        return self._saved_seconds
