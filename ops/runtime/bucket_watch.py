"""Follows a key-value bucket: every value once, then every change as it comes."""

import asyncio
from collections.abc import Callable

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from contracts.topology import Stream
from ops.runtime.bus import Bus
from ops.runtime.tasks import first_of, wait_for_stop
from ops.runtime.values import OPERATION_HEADER

log = structlog.stdlib.get_logger()

#: The client's own watch looks for a lost server every 10 s; this one notices in about two.
_HEARTBEAT_SECONDS = 1.0
_AGAIN_SECONDS = 1.0

#: Called with a key, its value (None: it was deleted) and the revision; it must not block.
Heard = Callable[[str, bytes | None, int], None]


class BucketWatch:
    """Tells ``heard`` of every value of one bucket.

    After a reconnect all values are told again. While the bus is away nothing is told, so
    what was heard last holds.
    """

    def __init__(self, bus: Bus, bucket: Stream, heard: Heard) -> None:
        self._bus = bus
        self._bucket = bucket
        self._prefix = bucket.subjects[0].removesuffix(">")
        self._heard = heard
        self._again = asyncio.Event()
        bus.on_reconnect(self._again.set)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow the bucket, also one that is made later, until told to stop."""
        while True:
            await first_of(self._bus.connected, stopping)
            if stopping.is_set():
                return
            try:
                await self._follow(stopping)
            except (nats.errors.Error, ConnectionError) as error:
                log.info(
                    "bucket.not_followed", name=self._bucket.name, error=repr(error)
                )
                await wait_for_stop(stopping, _AGAIN_SECONDS)

    async def _follow(self, stopping: asyncio.Event) -> None:
        self._again.clear()
        subscription = await self._bus.js.subscribe(
            self._bucket.subjects[0],
            stream=self._bucket.name,
            cb=self._receive,
            ordered_consumer=True,
            idle_heartbeat=_HEARTBEAT_SECONDS,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        )
        await first_of(self._again, stopping)
        await subscription.unsubscribe()

    async def _receive(self, msg: Msg) -> None:
        key = msg.subject.removeprefix(self._prefix)
        gone = OPERATION_HEADER in (msg.headers or {})
        self._heard(key, None if gone else msg.data, msg.metadata.sequence.stream)
