"""Writes dead letters to the DLQ: told by the bus's advisories, and swept up without them."""

import asyncio
from collections.abc import Sequence

import structlog
from nats.aio.msg import Msg

from contracts import topology
from ops.runtime.bus import Bus
from scheduler import advisories, stream
from scheduler.advisories import AdvisoryKind, Exhausted, Terminated
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.pages import Pages
from scheduler.publisher import Publisher
from scheduler.rows import Why
from scheduler.store import Store
from scheduler.undelivered import Case, Undelivered, Verdict

log = structlog.stdlib.get_logger()

_PAGE = 100
#: A case that changed while it was judged is looked at again this soon.
_AGAIN_SECONDS = 1.0


class DeadLetters:
    """Follows the advisories, a page a step.

    Advisories come twice, late and in any order, so each one only says where to look. It is
    acknowledged after all that follows from it is committed and confirmed.
    """

    def __init__(
        self,
        bus: Bus,
        store: Store,
        publisher: Publisher,
        undelivered: Undelivered,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._store = store
        self._publisher = publisher
        self._undelivered = undelivered
        self._metrics = metrics
        self._pages = Pages(bus, topology.DEAD_LETTERS, _PAGE)

    async def step(self) -> Done:
        """Take what has come, waiting a second for it, and act on it."""
        terminated: list[tuple[Msg, Terminated]] = []
        exhausted: list[tuple[Msg, Exhausted]] = []
        for message in await self._pages.take():
            advisory = advisories.read(message.subject, message.data)
            self._metrics.advised(advisories.kind_of(advisory))
            match advisory:
                case Terminated():
                    terminated.append((message, advisory))
                case Exhausted():
                    exhausted.append((message, advisory))
                case None:
                    log.warning("advisory.not_understood", size_bytes=len(message.data))
                    await message.ack()
        return Done(
            0,
            scanned=len(terminated) + len(exhausted),
            why={
                AdvisoryKind.TERMINATED: await self._write_letters(terminated),
                AdvisoryKind.EXHAUSTED: await self._settle(exhausted),
            },
        )

    async def _write_letters(self, told: Sequence[tuple[Msg, Terminated]]) -> int:
        """Return how many letters were published."""
        if not told:
            return 0
        ids = {advisory.notification_id for _, advisory in told}
        letters = await self._store.letters_of(ids)
        await self._publisher.write_letters(letters)
        await _acknowledge([message for message, _ in told])
        return len(letters)

    async def _settle(self, told: Sequence[tuple[Msg, Exhausted]]) -> int:
        """Return how many messages are gone."""
        if not told:
            return 0
        found = await stream.stored(
            self._bus, {advisory.stream_sequence for _, advisory in told}
        )
        cases = await self._undelivered.examine(found.values())
        gone = await self._undelivered.settle(cases, Why.PUT_BACK_TOO_OFTEN)
        left = {case.message.sequence: case for case in cases}
        for message, advisory in told:
            case = left.get(advisory.stream_sequence)
            if case is None or advisory.stream_sequence in gone:
                await message.ack()
            else:
                await message.nak(delay=again_seconds(case))
        return len(gone)


def again_seconds(case: Case) -> float:
    """Return when to look again at a message that could not be settled yet."""
    if case.verdict == Verdict.LEAVE and case.standing and case.standing.lease_seconds:
        return max(case.standing.lease_seconds, 0.0) + _AGAIN_SECONDS
    return _AGAIN_SECONDS


async def _acknowledge(messages: Sequence[Msg]) -> None:
    await asyncio.gather(*(message.ack() for message in messages))


class Sweep:
    """Publishes the dead letters that no advisory led to, a page a step."""

    def __init__(
        self, store: Store, publisher: Publisher, *, late_seconds: float
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._late_seconds = late_seconds

    async def step(self) -> Done:
        """Publish the oldest unpublished ones; at once again when there may be more."""
        letters = await self._store.late_letters(self._late_seconds, _PAGE)
        await self._publisher.write_letters(letters)
        if letters:
            log.warning("dead_letters.swept", letters=len(letters))
        return Done(
            0 if len(letters) == _PAGE else None,
            scanned=len(letters),
            why={"unannounced": len(letters)},
        )
