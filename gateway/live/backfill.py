"""What the bus brought to filters while this gateway was not connected, read from STATUS.

A single notification is caught up with from the ledger. A filter cannot be: the ledger has
no order of changes over all notifications. The stream has, for as long as it keeps them, and
it says by a number how far it has come: so no clock is compared.
"""

import asyncio

import nats.errors
import structlog
from nats.js import errors as js_errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts.topology import STATUS
from gateway.live.feed import Feed, Topic
from ops.runtime.bus import Bus

log = structlog.stdlib.get_logger()

#: How far the stream has come is noted so often. What came since is read again after a
#: reconnect, and told once.
_NOTE_SECONDS = 1.0
_PAGE = 500
_PAGE_SECONDS = 2.0
#: A filter that missed more is told the oldest of it.
_AT_MOST = 50_000
_CONSUMER_SECONDS = 30.0

_AWAY = (nats.errors.Error, js_errors.Error, OSError)


class Backfill:
    """Notes how far STATUS has come while filters are followed, and reads on from there."""

    def __init__(self, bus: Bus, feed: Feed) -> None:
        self._bus = bus
        self._feed = feed
        self._reached: int | None = None  #: before this number nothing can be missing
        self._reconnects = 0
        self._caught_up = 0  #: the number of reconnects after which all was read
        bus.on_reconnect(self._note_reconnect)

    async def run(self) -> None:
        """Keep up until cancelled."""
        while True:
            await self._feed.has_kinds.wait()
            try:
                await self._step()
            except _AWAY as error:
                log.info("backfill.waited", error=type(error).__name__)
            await asyncio.sleep(_NOTE_SECONDS)

    def _note_reconnect(self) -> None:
        self._reconnects += 1

    async def _step(self) -> None:
        kinds = self._feed.kinds()
        if not kinds:
            self._reached = None
            self._feed.has_kinds.clear()
            return
        reconnects = self._reconnects
        await self._feed.settled()
        last = (await self._bus.js.stream_info(STATUS.name)).state.last_seq
        if reconnects != self._caught_up and self._reached is not None:
            first = self._reached + 1 if self._reached <= last else 1
            for kind in kinds:
                await self._read(kind, first, last)
        self._caught_up = reconnects
        self._reached = last

    async def _read(self, kind: Topic, first: int, last: int) -> None:
        """Tell what the stream has between two numbers, as if it came now."""
        if first > last:
            return
        pull = await self._bus.js.pull_subscribe(
            kind.subject,
            stream=STATUS.name,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=first,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=_CONSUMER_SECONDS,
                mem_storage=True,
            ),
        )
        told = 0
        try:
            left = (await pull.consumer_info()).num_pending or 0
            while left and told < _AT_MOST:
                page = await pull.fetch(min(_PAGE, left), timeout=_PAGE_SECONDS)
                for message in page:
                    kind.put_nowait(message)
                told += len(page)
                left = page[-1].metadata.num_pending
                if page[-1].metadata.sequence.stream >= last:
                    break
        finally:
            await pull.unsubscribe()
        log.info("backfill.read", subject=kind.subject, told=told, left=left)
