"""Counts the dispatchers that are alive, from the state each publishes once a second."""

import time

from nats.aio.msg import Msg

from contracts import subjects
from ops.runtime.bus import Bus

_ALIVE_SECONDS = 5.0


class Peers:
    """The dispatchers heard of lately, this one included."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    async def listen(self, bus: Bus) -> None:
        """Subscribe to every dispatcher's heartbeat."""
        await bus.nc.subscribe(subjects.mesh_state("dispatcher", "*"), cb=self._hear)

    async def _hear(self, msg: Msg) -> None:
        self.heard(msg.subject.rpartition(".")[2], time.monotonic())

    def heard(self, instance: str, now: float) -> None:
        """Note that an instance is alive."""
        self._heard[instance] = now

    def count(self, now: float) -> int:
        """Return how many are alive; at least one, for that is who asks."""
        self._heard = {
            instance: at
            for instance, at in self._heard.items()
            if now - at < _ALIVE_SECONDS
        }
        return max(1, len(self._heard))
