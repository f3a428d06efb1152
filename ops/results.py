"""What became of notifications that were accepted."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

from contracts.lifecycle import FINAL, Status
from ops import client
from ops.client import Answer, Gateway, GatewayError, Notification
from ops.runtime.tasks import wait_for_stop

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

Waiting = Callable[[GatewayError, float], None]


async def final_notification(
    gateway: Gateway,
    known: Answer[Notification],
    *,
    at_most_seconds: float,
    changed: Callable[[Notification], None],
    waiting: Waiting,
) -> Answer[Notification]:
    """Stay with it until it is final or the time is over; return the last answer.

    ``changed`` is told of each status that is seen on the way. Where it cannot be followed
    (a proxy without WebSockets in between), the gateway is asked again and again.
    """
    deadline = time.monotonic() + at_most_seconds
    id_ = known.value.id

    async def look() -> Answer[Notification]:
        seen = await client.patiently(
            lambda: gateway.notification(id_),
            at_most_seconds=max(0.0, deadline - time.monotonic()),
            waiting=waiting,
            stopping=asyncio.Event(),
        )
        if seen.value.status != known.value.status:
            changed(seen.value)
        return seen

    try:
        async with (
            asyncio.timeout(at_most_seconds),
            aclosing(gateway.follow(id_)) as changes,
        ):
            async for _ in changes:
                known = await look()
                if known.value.status in FINAL:
                    return known
    except TimeoutError:
        return known
    except GatewayError:
        pass  # asking, below, needs less, and says what is wrong if that is
    pause = _FIRST_PAUSE_SECONDS
    while known.value.status not in FINAL and time.monotonic() < deadline:
        await asyncio.sleep(pause)
        before, known = known, await look()
        pause = (
            min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            if known.value.status == before.value.status
            else _FIRST_PAUSE_SECONDS
        )
    return known


async def final_counts(
    gateway: Gateway,
    batches: Sequence[UUID],
    *,
    at_most_seconds: float,
    stopping: asyncio.Event,
    progress: Callable[[int], None],
    waiting: Waiting,
) -> Counter[Status]:
    """Ask until every member of every batch is final, the time is over, or told to stop.

    ``progress`` is told how many are final so far. Returns how many stand where.
    """
    deadline = time.monotonic() + at_most_seconds
    total: Counter[Status] = Counter()
    for id_ in batches:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer = await client.patiently(
                partial(gateway.batch, id_),
                at_most_seconds=max(0.0, deadline - time.monotonic()),
                waiting=waiting,
                stopping=stopping,
            )
            counts = Counter(answer.value.counts)
            progress(_finals(total) + _finals(counts))
            over = stopping.is_set() or time.monotonic() >= deadline
            if over or _finals(counts) >= answer.value.size:
                break
            await wait_for_stop(stopping, pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        total += counts
    return total


def _finals(counts: Counter[Status]) -> int:
    return sum(counts[status] for status in FINAL)
