"""Compares the ledger with the bus, and puts on the bus again what the bus has lost.

The ledger says what should be on the bus. The first message of a lane is the oldest the bus
still has to finish, so what was queued before it and is not final is lost; whatever is
younger is merely waiting, however long.

Clocks are compared here, and none is trusted. How far the bus's is ahead of the ledger's is
measured in every pass and taken off. The ledger may have stamped a notification long before
the bus took it: so the stamp of the first message's own notification counts too, whichever is
earlier. The margin covers the rest: a queueing that is published a little later than it is
committed, and a clock that was set meanwhile. One that takes a scheduler longer than
``TOCSIN_SCHEDULER_OUTBOX_LATE_SECONDS`` is stamped anew when it is confirmed; a gateway stamps
nothing anew, and what it confirms later than the margin may be taken for lost. Should all
this fail, a notification gets a second message, which a dispatcher drops at the claim; never
a second send.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from contracts.channels import LANES, Lane
from contracts.lifecycle import Status
from ops.runtime.bus import Bus
from scheduler import stream
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.rows import OnBus, Why
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_PAGE = 1000
_FIRST = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

_WHY = {
    Status.QUEUED: Why.MESSAGE_LOST,
    Status.PROCESSING: Why.LEASE_EXPIRED,
    Status.RETRYING: Why.RETRY_OVERDUE,
}


class Reconcile:
    """Makes one whole pass a step.

    While the bus does not answer, or has no stream, it changes nothing.
    """

    def __init__(
        self,
        bus: Bus,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        stopping: asyncio.Event,
        *,
        margin_seconds: float,
    ) -> None:
        self._bus = bus
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._stopping = stopping
        self._margin_seconds = margin_seconds

    async def step(self) -> Done:
        """Compare every lane."""
        started = time.monotonic()
        before, ahead = await self._bounds()
        scanned = 0
        repaired: Counter[Why] = Counter()
        for lane in LANES:
            scanned += await self._repair(lane, before[lane], repaired)
        self._metrics.reconciled(scanned, ahead.total_seconds())
        done = Done(
            scanned=scanned,
            why={str(why): number for why, number in repaired.items()},
            kept=True,
        )
        log.info(
            "reconcile.finished",
            scanned=scanned,
            repaired=done.repaired,
            why=done.why,
            bus_clock_ahead_seconds=round(ahead.total_seconds(), 3),
            duration_ms=round((time.monotonic() - started) * 1000),
        )
        return done

    async def _bounds(self) -> tuple[dict[Lane, datetime], timedelta]:
        """Return before when each lane has lost what is not final, and how far the bus is ahead.

        The ledger's clock is read first: an empty lane says nothing of what comes after.
        """
        now = await self._store.clock()
        ahead = (await stream.contents(self._bus)).at - now
        margin = timedelta(seconds=self._margin_seconds)
        firsts = await asyncio.gather(
            *(stream.oldest(self._bus, lane) for lane in LANES)
        )
        queued_at = await self._store.queued_times(
            first.notification_id
            for first in firsts
            if first is not None and first.notification_id is not None
        )
        bounds = {
            lane: lost_before(
                now,
                ahead,
                first and first.stored_at,
                first and queued_at.get(first.notification_id),
                margin,
            )
            for lane, first in zip(LANES, firsts, strict=True)
        }
        return bounds, ahead

    async def _repair(
        self, lane: Lane, before: datetime, repaired: Counter[Why]
    ) -> int:
        """Queue again what a lane has lost; returns how many notifications were looked at."""
        scanned = 0
        after = _FIRST
        while not self._stopping.is_set():
            page = await self._store.on_bus_before(
                lane, before, self._margin_seconds, after, _PAGE
            )
            scanned += len(page)
            repaired.update(await self._requeue(page))
            if len(page) < _PAGE:
                break
            after = (page[-1].queued_at, page[-1].id)
        return scanned

    async def _requeue(self, page: Sequence[OnBus]) -> list[Why]:
        lost = [(row.id, row.sequence, _WHY[row.status]) for row in page if row.idle]
        if not lost:
            return []
        requeued = await self._store.requeue(lost)
        self._metrics.requeued(requeued.why)
        await self._publisher.announce(requeued.changes)
        await self._publisher.queue(requeued.group)
        return requeued.why


def lost_before(
    now: datetime,
    bus_ahead: timedelta,
    stored_at: datetime | None,
    queued_at: datetime | None,
    margin: timedelta,
) -> datetime:
    """Return before when, by the ledger's clock, a lane has lost all that is not final.

    ``stored_at`` is when the bus stored the lane's first message, by its own clock, and
    ``queued_at`` when the ledger says that message was queued; None where there is none.
    """
    times = [now]
    if stored_at is not None:
        times.append(stored_at - bus_ahead)
    if queued_at is not None:
        times.append(queued_at)
    return min(times) - margin
