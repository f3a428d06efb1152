"""What the dispatchers that are alive say of themselves, once a second."""

import time

import msgspec
import structlog
from nats.aio.msg import Msg

from contracts import subjects
from contracts.mesh import ProviderReading, ServiceState
from dispatcher.windows import Tally
from ops.runtime.bus import Bus

log = structlog.stdlib.get_logger()

_ALIVE_SECONDS = 5.0
#: Older counts may be of sends that the window has long forgotten.
_FRESH_SECONDS = 2.5

_decode = msgspec.json.Decoder(ServiceState).decode


class Peers:
    """The dispatchers heard of lately, this one included."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._providers: dict[str, list[ProviderReading]] = {}

    async def listen(self, bus: Bus) -> None:
        """Subscribe to every dispatcher's heartbeat."""
        await bus.nc.subscribe(subjects.mesh_state("dispatcher", "*"), cb=self._hear)

    async def _hear(self, msg: Msg) -> None:
        instance = msg.subject.rpartition(".")[2]
        try:
            providers = _decode(msg.data).providers
        except msgspec.DecodeError as error:
            log.info("peer.unreadable", instance=instance, error=str(error))
            providers = []
        self.heard(instance, time.monotonic(), providers)

    def heard(
        self, instance: str, now: float, providers: list[ProviderReading] | None = None
    ) -> None:
        """Note that an instance is alive, and what it says of its providers."""
        self._heard[instance] = now
        self._providers[instance] = providers or []
        self._forget_lost(now)

    def count(self, now: float) -> int:
        """Return how many are alive; at least one, for that is who asks."""
        self._forget_lost(now)
        return max(1, len(self._heard))

    def _forget_lost(self, now: float) -> None:
        for instance in [
            i for i, at in self._heard.items() if now - at >= _ALIVE_SECONDS
        ]:
            del self._heard[instance], self._providers[instance]

    def tally(self, provider: str, revision: int, but: str, now: float) -> Tally:
        """Return what the others counted of a provider since its breaker last changed."""
        total = Tally()
        for instance, readings in self._providers.items():
            if instance == but or now - self._heard[instance] > _FRESH_SECONDS:
                continue
            for reading in readings:
                if reading.name == provider and reading.revision == revision:
                    theirs = Tally(reading.sends, reading.failures, reading.slow)
                    total = total.plus(theirs)
        return total
