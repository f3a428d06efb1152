"""Puts on the bus what is due: notifications accepted for later, and parked retries."""

import asyncio
import time
from typing import NamedTuple

from ops.runtime.bus import Bus
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.rows import Released
from scheduler.store import Store

#: Rows that are due and locked by someone else must not make the loop spin.
_SHORTEST_SLEEP_SECONDS = 0.02
#: A step ends within about a second, however much is due.
_PAGES = 8


class _Page(NamedTuple):
    released: Released
    started: float  #: on the monotonic clock, before it was taken


class Release:
    """Releases some pages a step, and wakes at the next due time."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        *,
        page: int,
        poll_seconds: float,
    ) -> None:
        self._bus = bus
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._page = page
        self._poll_seconds = poll_seconds

    async def step(self) -> Done:
        """Release what is due, some pages at most; each is published while the next is taken.

        Nothing leaves the ledger while the bus is away: until then it can be cancelled. A page
        that could not be published is the outbox's, and so is the one that was taken meanwhile.
        """
        await self._bus.check()
        page = await self._take()
        taken = [page.released]
        while len(page.released.late_seconds) == self._page and len(taken) < _PAGES:
            page, _ = await asyncio.gather(self._take(), self._publish(page))
            taken.append(page.released)
        await self._publish(page)
        scanned = sum(len(released.late_seconds) for released in taken)
        scheduled = sum(len(released.changes) for released in taken)
        return Done(
            await self._pause(len(page.released.late_seconds)),
            scanned=scanned,
            why={"scheduled": scheduled, "retry": scanned - scheduled},
        )

    async def _take(self) -> _Page:
        started = time.monotonic()
        return _Page(await self._store.release_due(self._page), started)

    async def _publish(self, page: _Page) -> None:
        released = page.released
        if not released.late_seconds:
            return
        await self._publisher.announce(released.changes)
        await self._publisher.queue(released.group)
        took = time.monotonic() - page.started
        self._metrics.released(
            (one.lane for one in released.group.queueings),
            (late + took for late in released.late_seconds),
        )

    async def _pause(self, released: int) -> float:
        if released == self._page:
            return 0
        return sleep_seconds(
            await self._store.seconds_to_next_due(), self._poll_seconds
        )


def sleep_seconds(to_next_due: float | None, poll_seconds: float) -> float:
    """Return how long to sleep when the next due time is so far away (None: nowhere)."""
    if to_next_due is None:
        return poll_seconds
    return min(poll_seconds, max(_SHORTEST_SLEEP_SECONDS, to_next_due))
