"""What a durable consumer of the bus holds, a page at a time."""

from collections.abc import Sequence

from nats.aio.msg import Msg
from nats.js import JetStreamContext

from contracts.topology import Consumer
from ops.runtime.bus import Bus

_WAIT_SECONDS = 1.0


class Pages:
    """Takes pages of one consumer."""

    def __init__(self, bus: Bus, consumer: Consumer, at_most: int) -> None:
        self._bus = bus
        self._consumer = consumer
        self._at_most = at_most
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def take(self) -> Sequence[Msg]:
        """Return what is there, after a second at the latest; raises while the bus is away."""
        await self._bus.check()
        if self._subscription is None:
            self._subscription = await self._bus.js.pull_subscribe_bind(
                self._consumer.name, self._consumer.stream
            )
        try:
            return await self._subscription.fetch(self._at_most, timeout=_WAIT_SECONDS)
        # The client raises its own kind, and sometimes the plain one.
        except TimeoutError:
            return ()
