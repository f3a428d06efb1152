"""Does what operators asked for, page by page: replays, discards, erasures.

The ledger holds how far each operation is, so whichever scheduler has the job goes on where
the last one ended. Page and progress commit together; a stop takes effect at the next page.
"""

import structlog

from contracts.operations import OperationKind
from ops.runtime.bus import Bus
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.operation_store import OperationStore, Page, Turn
from scheduler.publisher import Publisher
from scheduler.spool import submissions_kept

log = structlog.stdlib.get_logger()

_PAGE = 200
_ANSWERS_PAGE = 2000
#: A paced operation takes this share of a second's worth at once.
_SLICE_SECONDS = 0.2
#: What is being sent, or is still in the spool, is erased when that is over.
_AGAIN_SECONDS = 0.5
_LONGEST_SLEEP_SECONDS = 0.25
_SHORTEST_SLEEP_SECONDS = 0.01


class Operations:
    """Takes one page of one operation a step."""

    def __init__(
        self, bus: Bus, store: OperationStore, publisher: Publisher, metrics: Metrics
    ) -> None:
        self._bus = bus
        self._store = store
        self._publisher = publisher
        self._metrics = metrics

    async def step(self) -> Done:
        """Do a page. Nothing moves while the bus is away."""
        await self._bus.check()
        to_next = await self._store.seconds_to_next()
        if to_next is None or to_next > 0:
            return Done(sleep_seconds(to_next))
        async with self._store.turn() as turn:
            if turn is None:  # somebody else, who believes to hold this job, has it
                return Done(_SHORTEST_SLEEP_SECONDS)
            page = await _take(turn, self._bus)
        operation = turn.operation
        self._metrics.operated(operation.kind, page.done)
        await self._publisher.announce(page.changes)
        if page.group.queueings:
            await self._publisher.queue(page.group)
        return Done(
            0, scanned=len(page.letters) or page.done, why={operation.kind: page.done}
        )


def sleep_seconds(to_next: float | None) -> float:
    """Return how long to sleep when the next page may be taken so far from now."""
    if to_next is None:
        return _LONGEST_SLEEP_SECONDS
    return min(_LONGEST_SLEEP_SECONDS, max(_SHORTEST_SLEEP_SECONDS, to_next))


def page_size(rate_per_second: float | None) -> int:
    """Return how many to take at once at a rate; None is as fast as it goes."""
    if rate_per_second is None:
        return _PAGE
    return min(_PAGE, max(1, int(rate_per_second * _SLICE_SECONDS)))


async def _take(turn: Turn, bus: Bus) -> Page:
    operation = turn.operation
    match operation.kind:
        case OperationKind.REPLAY:
            page = await turn.replay(page_size(operation.rate_per_second))
        case OperationKind.DISCARD:
            page = await turn.discard(_PAGE)
        case OperationKind.ERASE:
            return await _erase(turn, await submissions_kept(bus) == 0)
    if not page.letters:
        await _finish(turn)
        return page
    rate = operation.rate_per_second
    await turn.advance(
        done=page.done,
        refused=len(page.letters) - page.done,
        reached=page.letters[-1],
        pause_seconds=0.0 if rate is None else page.done / rate,
    )
    return page


async def _erase(turn: Turn, spool_was_empty: bool) -> Page:
    """Erase the notifications first, then what keys were answered, then whom it was about.

    What was accepted while the ledger was away may be the recipient's, and is found when it
    is in the ledger: so nothing ends unless the spool was empty before this page was looked for.
    """
    operation = turn.operation
    recipient = operation.target
    assert recipient is not None, "a running erasure knows whom it erases"
    page = await turn.erase(recipient, _PAGE)
    reached = operation.reached
    pause_seconds = 0.0
    if not page.done:
        if await turn.is_left(recipient):
            pause_seconds = _AGAIN_SECONDS
        else:
            last = await turn.erase_answers(recipient, _ANSWERS_PAGE)
            if last is not None:
                reached = last
            elif spool_was_empty:
                await _finish(turn)
                return page
            else:
                pause_seconds = _AGAIN_SECONDS
    await turn.advance(
        done=page.done, refused=0, reached=reached, pause_seconds=pause_seconds
    )
    return page


async def _finish(turn: Turn) -> None:
    await turn.finish()
    operation = turn.operation
    log.info("operation.finished", operation_id=str(operation.id), kind=operation.kind)
