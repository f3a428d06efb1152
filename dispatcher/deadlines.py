"""Ends calls that take too long.

A timer for each call costs more than all else a dispatcher does for one, and hardly any
ever fires. One that looks at all calls several times a second costs nothing.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_LOOK_SECONDS = 0.1

_Value = TypeVar("_Value")


class Deadline:
    """When the call that one task is making is to have ended."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self._until = math.inf
        self._is_overdue = False

    async def keep(self, call: Awaitable[_Value], seconds: float) -> _Value:
        """Return what a call of this task returns.

        Raises ``TimeoutError`` after the call was cancelled for being late, which is
        noticed within a tenth of a second.
        """
        self._until = time.monotonic() + seconds
        try:
            return await call
        except asyncio.CancelledError:
            # Whoever else cancelled the task meant more than this call.
            if self._is_overdue and not self._take_back():
                raise TimeoutError from None
            raise
        finally:
            self._until = math.inf
            if self._is_overdue:  # and the call made nothing of it
                self._take_back()

    def _take_back(self) -> int:
        """Undo the cancellation, and return how many others there are."""
        self._is_overdue = False
        return self._task.uncancel()

    def look(self, now: float) -> None:
        """Cancel the call if it is late."""
        if now >= self._until and not self._is_overdue:
            self._is_overdue = True
            self._task.cancel()


class Deadlines:
    """The deadlines of all tasks that make calls."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._is_looking = False

    @contextmanager
    def of_this_task(self) -> Iterator[Deadline]:
        """Watch over the calls that this task makes, one after the other, in the block."""
        task = asyncio.current_task()
        assert task is not None
        deadline = Deadline(task)
        self._deadlines.add(deadline)
        if not self._is_looking:
            self._look_later()
        try:
            yield deadline
        finally:
            self._deadlines.discard(deadline)

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._is_looking = False
        now = time.monotonic()
        for deadline in self._deadlines:
            deadline.look(now)
        if self._deadlines:
            self._look_later()
