"""Moves what was accepted while the ledger was away from the bus into the ledger."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import asyncpg
import structlog
from nats.aio.msg import Msg
from nats.js import errors as js_errors

from contracts import spool, topology
from contracts.spool import SpooledSubmission
from ops.runtime import ledger
from ops.runtime.bus import Bus
from ops.runtime.tasks import wait_for_stop
from scheduler.jobs import Done
from scheduler.metrics import Metrics, SpoolOutcome
from scheduler.pages import Pages
from scheduler.publisher import Publisher
from scheduler.spool_store import SpoolStore

log = structlog.stdlib.get_logger()

#: Messages taken at once: each may be as large as the bus allows.
_PAGE = 200
_WAIT_SECONDS = 1.0

#: Notifications stored by one transaction; a batch is never divided.
_STORED_AT_ONCE = 2000

#: A submission that the ledger refuses is offered again so much later.
_AGAIN_SECONDS = 60.0
_DEPTH_SECONDS = 2.0

#: The ledger is away or busy: the fault is not the submission's.
_NOT_NOW = (*ledger.AWAY, *ledger.COLLIDED)


class _Entry(NamedTuple):
    message: Msg
    submission: SpooledSubmission


class SpoolDrain:
    """Takes a page of the spool a step.

    What is moved is removed from the spool after the commit, so a step that is cut off
    anywhere is done again, and storing again changes nothing. A submission that the ledger
    refuses by itself stays in the spool, and is offered again once a minute: it was promised.
    """

    def __init__(
        self, bus: Bus, store: SpoolStore, publisher: Publisher, metrics: Metrics
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._pages = Pages(bus, topology.SPOOL_DRAIN, _PAGE)
        self._why: Counter[str] = Counter()

    async def step(self) -> Done:
        """Take what is there, waiting a second for it, and move it."""
        entries = await self._read(await self._pages.take())
        self._why.clear()
        try:
            for part in _parts(entries):
                await self._move(part)
        except _NOT_NOW:
            await self._put_back([entry.message for entry in entries])
            raise
        return Done(0, scanned=len(entries), why=dict(self._why))

    async def _read(self, messages: Sequence[Msg]) -> list[_Entry]:
        """Return what can be read, each submission once."""
        entries = {}
        for message in messages:
            try:
                submission = spool.decode(message.data)
            except ValueError as error:
                await self._leave(message, error)
            else:
                entries[submission.id] = _Entry(message, submission)
        return list(entries.values())

    async def _move(self, part: list[_Entry]) -> None:
        try:
            moved = await self._store.move([entry.submission for entry in part])
        except _NOT_NOW:
            raise
        except asyncpg.PostgresError as error:
            await self._single_out(part, error)
            return
        await asyncio.gather(*(entry.message.ack() for entry in part))
        outcomes = {
            SpoolOutcome.STORED: moved.stored - moved.cancelled,
            SpoolOutcome.CANCELLED: moved.cancelled,
            SpoolOutcome.KNOWN: moved.known,
        }
        self._metrics.spool_moved(outcomes)
        self._why.update({str(why): n for why, n in outcomes.items() if n})
        log.info(
            "spool.moved",
            submissions=len(part),
            notifications={str(why): n for why, n in outcomes.items()},
        )
        await self._publisher.announce(moved.changes)
        await self._publisher.queue(moved.group)

    async def _single_out(
        self, part: list[_Entry], error: asyncpg.PostgresError
    ) -> None:
        """Move one submission at a time, so that a bad one stays alone."""
        if len(part) > 1:
            for entry in part:
                await self._move([entry])
        else:
            await self._leave(part[0].message, error)

    async def _leave(self, message: Msg, error: Exception) -> None:
        self._metrics.spool_refused()
        # Never in the error's words, which may quote a row.
        log.error(
            "spool.refused",
            stream_sequence=message.metadata.sequence.stream,
            error=type(error).__name__,
            sqlstate=getattr(error, "sqlstate", None),
        )
        await message.nak(delay=_AGAIN_SECONDS)

    async def _put_back(self, messages: list[Msg]) -> None:
        """Have what was not moved delivered again soon; what was is acknowledged already."""
        for message in messages:
            if not message.is_acked:
                await message.nak(delay=_WAIT_SECONDS)


def _parts(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    part: list[_Entry] = []
    size = 0
    for entry in entries:
        length = len(entry.submission.notifications)
        if part and size + length > _STORED_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(entry)
        size += length
    if part:
        yield part


async def submissions_kept(bus: Bus) -> int:
    """Count what the spool keeps. What was moved is in the ledger before it leaves the spool."""
    try:
        return (await bus.js.stream_info(topology.SPOOL.name)).state.messages
    except js_errors.NotFoundError:
        return 0


class SpoolDepth:
    """Counts what the spool keeps, in every scheduler: while the ledger is away none has jobs."""

    def __init__(self, bus: Bus, metrics: Metrics, stopping: asyncio.Event) -> None:
        self._bus = bus
        self._metrics = metrics
        self._stopping = stopping
        self.latest: int | None = None  #: submissions; None before the first count

    def gauges(self) -> dict[str, float]:
        """Return what this process adds to its heartbeat."""
        if self.latest is None:
            return {}
        return {"spooled_submissions": float(self.latest)}

    async def step(self) -> None:
        """Count once, and rest."""
        self.latest = await submissions_kept(self._bus)
        self._metrics.spool_seen(self.latest)
        await wait_for_stop(self._stopping, _DEPTH_SECONDS)
