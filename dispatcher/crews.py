"""The tasks that send for one channel.

One that has no work waits for some instead of ending: a new task for each send would cost more
than all else a dispatcher does before it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from dispatcher.bugs import log_bug
from dispatcher.deadlines import Deadline, Deadlines
from dispatcher.lines import Line
from dispatcher.slots import Slots

#: Takes one from the line and sends it, unless others were faster.
SendNext = Callable[[Deadline], Awaitable[None]]


class Crew:
    """As many senders as there was work for at a time; the others that may not send are idle."""

    def __init__(
        self, line: Line, slots: Slots, deadlines: Deadlines, send_next: SendNext
    ) -> None:
        self._line = line
        self._slots = slots
        self._deadlines = deadlines
        self._send_next = send_next
        self._senders: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._idle: list[asyncio.Future[None]] = []
        self._is_dismissed = False

    def call(self) -> None:
        """Have somebody work on what is in line, as many at once as may."""
        wanted = min(len(self._line), self._slots.concurrency - self._busy)
        for _ in range(wanted):
            if not self._wake():
                self._busy += 1
                sender = asyncio.create_task(self._work(), name="sender")
                self._senders.add(sender)
                sender.add_done_callback(self._ended)

    def _wake(self) -> bool:
        """Give work to one that is idle, if there is one."""
        while self._idle:
            waiter = self._idle.pop()
            if not waiter.done():  # else its task was cancelled
                self._busy += 1
                waiter.set_result(None)
                return True
        return False

    def dismiss(self) -> set[asyncio.Task[None]]:
        """Have all end, those that send after that, and return them."""
        self._is_dismissed = True
        while self._wake():
            pass
        return set(self._senders)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()  # once: it is a system call each time
        try:
            with self._deadlines.of_this_task() as deadline:
                while True:
                    if self._line and self._busy <= self._slots.concurrency:
                        await self._send_next(deadline)
                    elif self._is_dismissed:
                        return
                    else:
                        await self._rest(loop)
        finally:
            self._busy -= 1

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return when there is work; whoever wakes this one counts it as busy."""
        self._busy -= 1
        waiter = loop.create_future()
        self._idle.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._busy += waiter.cancelled()
            raise

    def _ended(self, sender: "asyncio.Task[None]") -> None:
        self._senders.discard(sender)
        if not sender.cancelled() and (error := sender.exception()) is not None:
            log_bug("sender.failed", error)
        self.call()
