"""Ends calls that take too long.

A timer for each call costs more than all else a dispatcher does for one, and hardly any
ever fires. One timer that looks at all calls several times a second costs nothing.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

_LOOK_SECONDS = 0.1

_Value = TypeVar("_Value")


class Deadlines:
    """The calls under way, and when each is to have ended: late by a look at most."""

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._is_looking = False

    async def keep(self, call: Awaitable[_Value], seconds: float) -> _Value:
        """Return what the call returns, one at a time in each task.

        Raises ``TimeoutError`` after the call was cancelled for being late.
        """
        task = asyncio.current_task()
        assert task is not None
        self._until[task] = time.monotonic() + seconds
        if not self._is_looking:
            self._look_later()
        try:
            return await call
        except asyncio.CancelledError:
            # Whoever else cancelled the task meant more than this call.
            if task in self._overdue and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            del self._until[task]
            self._overdue.discard(task)

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._is_looking = False
        now = time.monotonic()
        for task, until in self._until.items():
            if until <= now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        if self._until:
            self._look_later()
