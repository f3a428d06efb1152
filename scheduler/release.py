"""Puts on the bus what is due: notifications accepted for later, and parked retries."""

import time

from ops.runtime.bus import Bus
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.store import Store

#: Rows that are due and locked by someone else must not make the loop spin.
_SHORTEST_SLEEP_SECONDS = 0.02


class Release:
    """Releases one page a step, and wakes at the next due time."""

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
        """Release a page.

        Nothing leaves the ledger while the bus is away: until then it can be cancelled.
        """
        await self._bus.check()
        started = time.monotonic()
        released = await self._store.release_due(self._page)
        if released.late_seconds:
            await self._publisher.announce(released.changes)
            await self._publisher.queue(released.group)
            took = time.monotonic() - started
            self._metrics.released(
                (one.lane for one in released.group.queueings),
                (late + took for late in released.late_seconds),
            )
        return Done(
            await self._pause(len(released.late_seconds)),
            scanned=len(released.late_seconds),
            why={
                "scheduled": len(released.changes),
                "retry": len(released.late_seconds) - len(released.changes),
            },
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
