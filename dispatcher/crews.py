"""The tasks that send for one channel.

One that has no work waits for some instead of ending: a new task for each send would cost more
than all else a dispatcher does before it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dispatcher.deadlines import Deadline, Deadlines
from dispatcher.errors import frames
from dispatcher.lines import Line
from dispatcher.slots import Slots

log = structlog.stdlib.get_logger()

#: Takes one from the line and sends it, unless others were faster.
SendNext = Callable[[Deadline], Awaitable[None]]


class Crew:
    """As many senders as there was work for at a time, and no more than may send at once."""

    def __init__(
        self, line: Line, slots: Slots, deadlines: Deadlines, send_next: SendNext
    ) -> None:
        self._line = line
        self._slots = slots
        self._deadlines = deadlines
        self._send_next = send_next
        self._senders: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._is_dismissed = False

    def call(self) -> None:
        """Have somebody work on what is in line."""
        work = len(self._line)
        while work and self._idle:
            work -= self._wake()
        for _ in range(min(work, self._slots.concurrency - len(self._senders))):
            sender = asyncio.create_task(self._work(), name="sender")
            self._senders.add(sender)
            sender.add_done_callback(self._ended)

    def _wake(self) -> bool:
        waiter = self._idle.pop()
        if waiter.done():  # its task was cancelled
            return False
        waiter.set_result(None)
        return True

    def dismiss(self) -> set[asyncio.Task[None]]:
        """Have everybody end after the send under way, and return those who have one."""
        self._is_dismissed = True
        while self._idle:
            self._wake()
        return set(self._senders)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        with self._deadlines.of_this_task() as deadline:
            while len(self._senders) <= self._slots.concurrency:
                if self._line:
                    await self._send_next(deadline)
                elif self._is_dismissed:
                    return
                else:
                    waiter = loop.create_future()
                    self._idle.append(waiter)
                    await waiter

    def _ended(self, sender: "asyncio.Task[None]") -> None:
        self._senders.discard(sender)
        if not sender.cancelled() and (error := sender.exception()) is not None:
            log.error("sender.failed", error=type(error).__name__, frames=frames(error))
        self.call()
