"""What the bus brings and nobody can be told is counted, and the rest is told."""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from contracts import messages, subjects
from contracts.channels import Channel, Priority
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from gateway.live.feed import Feed
from gateway.live.metrics import LiveMetrics
from gateway.live.news import News
from ops.runtime.bus import Bus
from tests.waiting import until

ID = new_id()
SUBJECT = subjects.status("default", Channel.SMS, Status.PROCESSING, ID)


class Stumbling:
    """Raises over one change, and takes in the others."""

    def __init__(self, over: int) -> None:
        self._over = over
        self.heard: list[int] = []

    def hear(self, subject: str, news: News) -> None:
        if news.view.sequence == self._over:
            raise RuntimeError("stumbled")
        self.heard.append(news.view.sequence)


def change(sequence: int) -> bytes:
    return messages.encode(
        StatusChanged(
            notification_id=ID,
            tenant="default",
            channel=Channel.SMS,
            priority=Priority.NORMAL,
            status=Status.PROCESSING,
            attempts=1,
            sequence=sequence,
            at=datetime.now(UTC),
            correlation_id="",
        )
    )


async def test_what_cannot_be_told_is_counted_and_what_comes_after_it_is_told(
    bus: Bus,
) -> None:
    registry = CollectorRegistry()
    feed = Feed(bus, LiveMetrics(registry))
    listener = Stumbling(over=3)
    feed.listen(SUBJECT, listener)
    await feed.settled()

    async def come(payload: bytes, told: int, untold: int) -> None:
        await bus.nc.publish(SUBJECT, payload)
        await until(lambda: len(listener.heard) == told)
        await until(lambda: untold_events() == untold)

    def untold_events() -> float | None:
        return registry.get_sample_value("tocsin_live_untold_events_total")

    await come(change(2), told=1, untold=0)
    await come(b'{"type": "status.changed.v1"', told=1, untold=1)
    await come(b"\xff\xfe", told=1, untold=2)
    await come(change(3), told=1, untold=3)
    await come(change(4), told=2, untold=3)

    assert listener.heard == [2, 4]
    assert bus.nc.is_connected
