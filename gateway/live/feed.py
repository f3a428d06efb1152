"""Status events from the bus: one subscription a subject, however many listen.

The client library gives every subscription a queue and a task. With tens of thousands of
subjects these would be most of the gateway's memory, so a ``Topic`` stands in for a
subscription and passes on each message the moment it is read. It relies on parts of the
client that are not public (nats-py 2.16, which the project pins).
"""

import asyncio
from typing import Protocol
from uuid import UUID

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts import messages
from contracts.messages import ReceiptArrived, StatusChanged
from gateway.live.metrics import LiveMetrics
from gateway.live.news import News
from ops.runtime import wire
from ops.runtime.bus import Bus

log = structlog.stdlib.get_logger()

_FLUSH_SECONDS = 2
_REMEMBERED_AT_MOST = 20_000


class Listener(Protocol):
    """Who is told of what a topic brings."""

    def hear(self, subject: str, news: News) -> None:
        """Take in one event; must not block."""
        ...


class Topic(Subscription):
    """One subject, and those who listen to it.

    With a ``memory`` each change is told once, however often it comes.
    """

    def __init__(
        self, feed: "Feed", number: int, subject: str, metrics: LiveMetrics
    ) -> None:
        super().__init__(feed.client, number, subject)
        # The client hands each message to this "queue" as soon as it has read it.
        self._pending_queue = self  # type: ignore[assignment]
        self._pending_bytes_limit = 0
        self._metrics = metrics
        self.memory: Memory | None = None
        self.listeners: list[Listener] = []

    def put_nowait(self, message: Msg) -> None:
        """Tell everyone. Raises nothing: that would end the client's reading."""
        self._pending_size = 0
        try:
            change = messages.decode(message.data)
            if isinstance(change, StatusChanged | ReceiptArrived) and self._is_new(
                change
            ):
                self._tell(News.of(change))
        except msgspec.MsgspecError:
            self._metrics.untold()
            log.warning("status_event.unreadable", subject=message.subject)
        except Exception:
            self._metrics.untold()
            log.exception("status_event.failed")

    def _is_new(self, change: StatusChanged | ReceiptArrived) -> bool:
        if self.memory is None:
            return True
        mark = (
            change.receipt.id if isinstance(change, ReceiptArrived) else change.sequence
        )
        return self.memory.adds(change.notification_id, mark)

    def _tell(self, news: News) -> None:
        self._metrics.heard()
        for listener in tuple(self.listeners):
            listener.hear(self.subject, news)


class Memory:
    """The changes that were told lately."""

    def __init__(self) -> None:
        self._told: dict[tuple[UUID, int | UUID], None] = {}

    def adds(self, id_: UUID, mark: int | UUID) -> bool:
        """Remember a change, or a receipt; False when it was told already."""
        if (id_, mark) in self._told:
            return False
        if len(self._told) >= _REMEMBERED_AT_MOST:
            del self._told[next(iter(self._told))]
        self._told[id_, mark] = None
        return True


class Feed:
    """Asks the bus for the subjects that somebody listens to, and for no others."""

    def __init__(self, bus: Bus, metrics: LiveMetrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self.client = bus.nc
        self._topics: dict[str, Topic] = {}
        self._unsent: list[bytes] = []
        self._changed = asyncio.Event()
        self.has_kinds = asyncio.Event()  #: somebody listens, or did, to many at once

    @property
    def subjects(self) -> int:
        """Return how many subjects are subscribed to."""
        return len(self._topics)

    def listen(self, subject: str, listener: Listener) -> None:
        """Add a listener. What is published before ``settled`` returns may be missed."""
        topic = self._topics.get(subject)
        if topic is None:
            topic = self._topics[subject] = self._open(subject)
        topic.listeners.append(listener)

    def listen_to_kind(self, subject: str, listener: Listener) -> None:
        """Add a listener to many notifications, who is told each change once."""
        self.listen(subject, listener)
        topic = self._topics[subject]
        topic.memory = topic.memory or Memory()
        self.has_kinds.set()

    def kinds(self) -> list[Topic]:
        """Return the subjects of many notifications."""
        return [topic for topic in self._topics.values() if topic.memory is not None]

    def leave(self, subject: str, listener: Listener) -> None:
        """Remove a listener; the subject goes with the last one."""
        topic = self._topics[subject]
        topic.listeners.remove(listener)
        if not topic.listeners:
            del self._topics[subject]
            self._close(topic)

    async def settled(self) -> None:
        """Return when the bus knows every subscription made so far.

        While the bus is away it returns at once: the client subscribes anew when it
        reconnects, and whoever listens then has to look for what was missed.
        """
        if not self.client.is_connected:
            return
        try:
            await self._send()
            await self.client.flush(_FLUSH_SECONDS)
        except (nats.errors.Error, OSError) as error:
            log.warning("feed.not_settled", error=repr(error))

    async def run(self) -> None:
        """Send what nobody waits for."""
        while True:
            await self._changed.wait()
            await self._bus.connected.wait()
            self._changed.clear()
            try:
                await self._send()
            except (nats.errors.Error, OSError) as error:
                log.warning("feed.not_sent", error=repr(error))

    async def _send(self) -> None:
        """Send what is unsent. What a lost connection swallows is sent when it is back."""
        unsent, self._unsent = self._unsent, []
        if unsent:
            await wire.send(self.client, unsent)

    def _open(self, subject: str) -> Topic:
        self.client._sid += 1  # noqa: SLF001 (see above)
        number = self.client._sid  # noqa: SLF001
        topic = Topic(self, number, subject, self._metrics)
        self.client._subs[number] = topic  # noqa: SLF001
        self._later(b"SUB %b  %d\r\n" % (subject.encode(), number))
        return topic

    def _close(self, topic: Topic) -> None:
        self.client._subs.pop(topic._id, None)  # noqa: SLF001
        self._later(b"UNSUB %d\r\n" % topic._id)  # noqa: SLF001

    def _later(self, command: bytes) -> None:
        self._unsent.append(command)
        self._changed.set()
