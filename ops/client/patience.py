"""Asking again while a refusal is one that passes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ops.client.errors import GatewayError, Refused, Unreachable
from ops.runtime.tasks import wait_for_stop

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

_Value = TypeVar("_Value")


async def patiently(
    ask: Callable[[], Awaitable[_Value]],
    *,
    at_most_seconds: float,
    waiting: Callable[[GatewayError, float], None],
    stopping: asyncio.Event,
) -> _Value:
    """Ask again while the refusal is one that passes, at the time the gateway names.

    Only for what has an idempotency key or changes nothing. ``waiting`` is told why and how
    long before each pause. The last error is raised when the next try would come after
    ``at_most_seconds``, and when ``stopping`` is set.
    """
    deadline = time.monotonic() + at_most_seconds
    growing = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await ask()
        except (Refused, Unreachable) as error:
            pause = growing
            if isinstance(error, Refused):
                if not error.passes:
                    raise
                pause = error.retry_after_seconds or growing
            if stopping.is_set() or time.monotonic() + pause > deadline:
                raise
            waiting(error, pause)
            if await wait_for_stop(stopping, pause):
                raise
            growing = min(growing * 2, _LONGEST_PAUSE_SECONDS)
