"""A second pair of ears on the bus: when something became true, whatever the console shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import nats
from nats.aio.msg import Msg

from contracts import messages, subjects
from contracts.breakers import BreakerState
from contracts.mesh import ServiceState
from contracts.messages import StatusChanged
from contracts.topology import BREAKERS
from tests.waiting import until


class Witness:
    """Remembers what services said of themselves, what became of notifications, and what
    the dispatchers agreed on about providers.
    """

    def __init__(self) -> None:
        self.states: list[ServiceState] = []
        self.changes: list[StatusChanged] = []
        self.breakers: list[BreakerState] = []

    async def state(
        self, is_it: Callable[[ServiceState], bool], within: float = 30
    ) -> float:
        """Return when a service first said so of itself, in seconds since the epoch."""
        found = await until(
            lambda: [state for state in self.states if is_it(state)], within
        )
        return found[0].at.timestamp()

    async def change(
        self, is_it: Callable[[StatusChanged], bool], within: float = 30
    ) -> float:
        """Return when a status first changed so, in seconds since the epoch."""
        found = await until(
            lambda: [change for change in self.changes if is_it(change)], within
        )
        return found[0].at.timestamp()

    async def breaker(
        self, is_it: Callable[[BreakerState], bool], within: float = 30
    ) -> float:
        """Return when a breaker first became so, in seconds since the epoch."""
        found = await until(
            lambda: [state for state in self.breakers if is_it(state)], within
        )
        return found[0].at.timestamp()

    def forget(self) -> None:
        """Begin anew: only what comes from now on counts."""
        self.states.clear()
        self.changes.clear()
        self.breakers.clear()


@asynccontextmanager
async def listening(nats_url: str) -> AsyncIterator[Witness]:
    """Lend ears on the bus at an address."""
    witness = Witness()

    async def hear_state(message: Msg) -> None:
        witness.states.append(msgspec.json.decode(message.data, type=ServiceState))

    async def hear_change(message: Msg) -> None:
        change = messages.decode(message.data)
        if isinstance(change, StatusChanged):
            witness.changes.append(change)

    async def hear_breaker(message: Msg) -> None:
        if message.data:
            state = msgspec.json.decode(message.data, type=BreakerState)
            witness.breakers.append(state)

    connection = await nats.connect(nats_url)
    try:
        await connection.subscribe(subjects.MESH_STATE_ALL, cb=hear_state)
        await connection.subscribe(subjects.STATUS_ALL, cb=hear_change)
        breakers = subjects.bucket_value(BREAKERS.name, ">")
        await connection.subscribe(breakers, cb=hear_breaker)
        await connection.flush()
        yield witness
    finally:
        await connection.close()
