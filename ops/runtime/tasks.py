"""Loops that live as long as their service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from prometheus_client import Counter

log = structlog.stdlib.get_logger()

_LONGEST_PAUSE_SECONDS = 5.0


async def wait_for_stop(stopping: asyncio.Event, seconds: float) -> bool:
    """Sleep, but no longer than until the service is told to stop; True when it was."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def keep_running(
    name: str,
    step: Callable[[], Awaitable[object]],
    stopping: asyncio.Event,
    errors: Counter,
    expected: Sequence[type[Exception]] | tuple[type[Exception], ...] = (),
) -> None:
    """Repeat ``step`` until told to stop, whatever it raises, with growing pauses after errors.

    ``errors`` counts by label ``loop``. ``expected`` errors (a server is away) are logged as
    warnings without a stack trace.
    """
    pause = 0.1
    while not stopping.is_set():
        try:
            await step()
            pause = 0.1
        except Exception as error:
            errors.labels(loop=name).inc()
            if isinstance(error, tuple(expected)):
                log.warning("loop.interrupted", loop=name, error=repr(error))
            else:
                log.exception("loop.failed", loop=name)
            await wait_for_stop(stopping, pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def first_of(*events: asyncio.Event) -> None:
    """Return as soon as one of the events is set."""
    waits = [asyncio.create_task(event.wait(), name="event.wait") for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
