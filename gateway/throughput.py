"""What the mesh did in the last minute, from what every service says of itself each second."""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg

from contracts import subjects
from contracts.mesh import ServiceState
from ops.runtime.bus import Bus
from ops.runtime.tasks import first_of

log = structlog.stdlib.get_logger()

_MINUTE_SECONDS = 60.0
_INSTANCES_AT_MOST = 1_000

_decode = msgspec.json.Decoder(ServiceState).decode


class Counts(NamedTuple):
    """Notifications accepted by gateways, and delivered by dispatchers."""

    created: float = 0
    delivered: float = 0


class _Instance(NamedTuple):
    started_at: datetime
    totals: Counts


class Throughput:
    """Sums up what the counters of all processes rose by.

    Knows nothing of the time before it began to listen: a gateway's numbers are whole a
    minute after its start.
    """

    def __init__(self) -> None:
        self._began_at = datetime.now(UTC)
        self._known: dict[str, _Instance] = {}
        self._rises: deque[tuple[float, Counts]] = deque()

    async def listen(self, bus: Bus, stopping: asyncio.Event) -> None:
        """Listen until told to stop."""
        await first_of(bus.connected, stopping)
        if stopping.is_set():
            return
        try:
            await bus.nc.subscribe(subjects.MESH_STATE_ALL, cb=self._hear)
        except nats.errors.Error as error:
            log.warning("throughput.not_heard", error=repr(error))
            return
        await stopping.wait()

    async def _hear(self, message: Msg) -> None:
        try:
            state = _decode(message.data)
        except msgspec.DecodeError:
            log.debug("service_state.not_read", subject=message.subject)
            return
        self.heard(state, time.monotonic())

    def heard(self, state: ServiceState, now: float) -> None:
        """Take in the state of one process at a moment of the monotonic clock."""
        totals = Counts(
            created=state.gauges.get("accepted_notifications_total", 0.0),
            delivered=sum(lane.delivered for lane in state.lanes),
        )
        name = f"{state.service}.{state.instance}"
        before = self._known.pop(name, None)
        self._known[name] = _Instance(state.started_at, totals)  # the last heard of
        if len(self._known) > _INSTANCES_AT_MOST:
            del self._known[next(iter(self._known))]
        if before is not None and before.started_at == state.started_at:
            base = before.totals
        elif before is not None or state.started_at >= self._began_at:
            base = Counts()  # a new process: it has counted from nothing since
        else:
            return
        rise = Counts(
            max(totals.created - base.created, 0.0),
            max(totals.delivered - base.delivered, 0.0),
        )
        if any(rise):
            self._rises.append((now, rise))
        self._forget(now)

    def last_minute(self, now: float) -> Counts:
        """Return what was counted in the minute before a moment of the monotonic clock."""
        self._forget(now)
        return Counts(
            sum(rise.created for _, rise in self._rises),
            sum(rise.delivered for _, rise in self._rises),
        )

    def _forget(self, now: float) -> None:
        while self._rises and self._rises[0][0] <= now - _MINUTE_SECONDS:
            self._rises.popleft()
