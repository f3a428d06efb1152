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
from ops.runtime.values import OPERATION_HEADER, Value, read_value

log = structlog.stdlib.get_logger()

#: The client's own watch looks for a lost server every 10 s; this one notices in about two.
_HEARTBEAT_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
#: The client does not notice that a bucket was made again, and goes on behind where it was.
_ANEW_SECONDS = 10.0

#: Called with a key, its value (None: it was deleted) and the revision (0: nothing is there,
#: not even a mark that it was deleted); it must not block.
Heard = Callable[[str, bytes | None, int], None]


class BucketWatch:
    """Tells ``heard`` of every value of one bucket, once.

    After a reconnect, and every ten seconds, it begins anew and tells what is not as it was
    told: also in a bucket that was emptied, made again or restored, where revisions go back.
    While the bus or the bucket is away nothing is told, so what was heard last holds.
    """

    def __init__(self, bus: Bus, bucket: Stream, heard: Heard) -> None:
        self._bus = bus
        self._bucket = bucket
        self._prefix = bucket.subjects[0].removesuffix(">")
        self._heard = heard
        self._told: dict[str, Value] = {}
        self._missing: set[str] = set()  #: were told, and have not come again
        self._replayed = asyncio.Event()
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
        self._replayed.clear()
        self._missing = set(self._told)
        subscription = await self._bus.js.subscribe(
            self._bucket.subjects[0],
            stream=self._bucket.name,
            cb=self._receive,
            ordered_consumer=True,
            idle_heartbeat=_HEARTBEAT_SECONDS,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        )
        try:
            info = await subscription.consumer_info()
            if not info.num_pending and not (
                info.delivered and info.delivered.consumer_seq
            ):
                self._replayed.set()
            async with asyncio.timeout(_ANEW_SECONDS):
                await first_of(self._replayed, self._again, stopping)
                if self._replayed.is_set():
                    await self._look_for_missing()
                await first_of(self._again, stopping)
        except TimeoutError:
            pass
        finally:
            await subscription.unsubscribe()

    async def _look_for_missing(self) -> None:
        """Tell what has become of values that did not come again, or only older ones did.

        The server that leads the bucket is asked: the one that tells may lag behind.
        """
        for key in sorted(self._missing):
            value = await read_value(self._bus, self._bucket, key)
            if key in self._missing:
                self._tell(key, value)

    async def _receive(self, msg: Msg) -> None:
        key = msg.subject.removeprefix(self._prefix)
        gone = OPERATION_HEADER in (msg.headers or {})
        value = Value(None if gone else msg.data, msg.metadata.sequence.stream)
        if key not in self._told or value.revision >= self._told[key].revision:
            self._missing.discard(key)
            self._tell(key, value)
        if not msg.metadata.num_pending:
            self._replayed.set()

    def _tell(self, key: str, value: Value) -> None:
        if self._told.get(key) != value:
            self._told[key] = value
            self._heard(key, *value)
