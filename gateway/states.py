"""What every process of the mesh last said of itself, as this gateway heard it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg

from contracts import subjects
from contracts.mesh import ServiceCondition, ServiceState
from contracts.oversight import LOST_AFTER_SECONDS, ProcessStanding
from ops.runtime.bus import Bus
from ops.runtime.tasks import first_of

log = structlog.stdlib.get_logger()

_PROCESSES_AT_MOST = 1_000
_LOST_KEPT_SECONDS = 3600.0

_decode = msgspec.json.Decoder(ServiceState).decode

#: Told of every state as it is heard, with the moment of the monotonic clock.
Heard = Callable[[ServiceState, float], None]


class _Process(NamedTuple):
    state: ServiceState
    heard_at: float


class States:
    """The latest state of each process.

    One that fell silent is lost, and kept for an hour; one that said goodbye first is
    forgotten instead.
    """

    def __init__(self, tell: Sequence[Heard] = ()) -> None:
        self._tell = tell
        self._processes: dict[tuple[str, str], _Process] = {}

    async def listen(self, bus: Bus, stopping: asyncio.Event) -> None:
        """Listen until told to stop."""
        await first_of(bus.connected, stopping)
        if stopping.is_set():
            return
        try:
            await bus.nc.subscribe(subjects.MESH_STATE_ALL, cb=self._receive)
        except nats.errors.Error as error:
            log.warning("mesh_states.not_heard", error=repr(error))
            return
        await stopping.wait()

    async def _receive(self, message: Msg) -> None:
        try:
            state = _decode(message.data)
        except msgspec.DecodeError:
            log.debug("service_state.not_read", subject=message.subject)
            return
        self.hear(state, time.monotonic())

    def hear(self, state: ServiceState, now: float) -> None:
        """Take in the state of one process at a moment of the monotonic clock."""
        name = (state.service, state.instance)
        self._processes.pop(name, None)
        self._processes[name] = _Process(state, now)  # the last heard of
        if len(self._processes) > _PROCESSES_AT_MOST:
            del self._processes[next(iter(self._processes))]
        for tell in self._tell:
            tell(state, now)

    def standings(self, now: float) -> list[ProcessStanding]:
        """Return every process with its age, by service and instance."""
        self._forget(now)
        return [
            ProcessStanding(
                age_seconds=round(max(now - process.heard_at, 0.0), 3),
                lost=now - process.heard_at > LOST_AFTER_SECONDS,
                state=process.state,
            )
            for _, process in sorted(self._processes.items())
        ]

    def of(self, service: str) -> list[ProcessStanding]:
        """Return the processes of one service."""
        return [
            standing
            for standing in self.standings(time.monotonic())
            if standing.state.service == service
        ]

    def living(self, service: str) -> list[ServiceState]:
        """Return what the processes of a service say that are not lost."""
        return [standing.state for standing in self.of(service) if not standing.lost]

    def providers(self) -> frozenset[str]:
        """Return the names of all providers that are told of, also by what is lost since."""
        return frozenset(
            provider.name
            for standing in self.standings(time.monotonic())
            for provider in standing.state.providers
        )

    def _forget(self, now: float) -> None:
        for name, process in list(self._processes.items()):
            silent_seconds = now - process.heard_at
            left = process.state.condition is ServiceCondition.DRAINING
            if silent_seconds > (LOST_AFTER_SECONDS if left else _LOST_KEPT_SECONDS):
                del self._processes[name]
