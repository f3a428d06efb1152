"""What every source does, whatever is behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from console.events import (
    AnyEvent,
    BreakerHeard,
    LinkChanged,
    LinkCondition,
    ServiceReported,
    StatusReported,
)
from console.source import Source
from console.source.scripted import ScriptedSource
from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel
from contracts.mesh import JobOutcome, JobReading, ProviderReading, ServiceState
from contracts.messages import StatusChanged
from tests.unit.console.world import (
    CONNECTED,
    NOON,
    breaker,
    change,
    moment,
    reading,
    state,
)
from tests.waiting import until


@dataclass
class Mesh:
    """A mesh a test can speak for, and the source that listens to it."""

    source: Source
    say_state: Callable[[ServiceState], Awaitable[None]]
    say_change: Callable[[StatusChanged], Awaitable[None]]
    agree: Callable[[str, BreakerState], Awaitable[None]]
    heard: list[AnyEvent] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[list[AnyEvent]]:
        """Run the source, connected, until the block is left."""
        task = asyncio.create_task(self.source.run(self.heard.append))
        try:
            await until(self.is_connected)
            yield self.heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def is_connected(self) -> bool:
        link = self.link()
        return bool(link) and link[-1].condition is LinkCondition.CONNECTED

    def link(self) -> list[LinkChanged]:
        return [event for event in self.heard if isinstance(event, LinkChanged)]

    def states(self) -> list[ServiceState]:
        return [e.state for e in self.heard if isinstance(e, ServiceReported)]

    def changes(self) -> list[StatusChanged]:
        return [e.change for e in self.heard if isinstance(e, StatusReported)]

    def agreements(self) -> list[tuple[str, BreakerState | None]]:
        return [
            (e.provider, e.state) for e in self.heard if isinstance(e, BreakerHeard)
        ]


def scripted_mesh() -> Mesh:
    """A mesh that is only spoken of."""
    source, revisions = ScriptedSource([CONNECTED]), count(1)

    async def say_state(state: ServiceState) -> None:
        source.tell(ServiceReported(state=state))

    async def say_change(change: StatusChanged) -> None:
        source.tell(StatusReported(change=change))

    async def agree(provider: str, state: BreakerState) -> None:
        source.tell(
            BreakerHeard(provider=provider, state=state, revision=next(revisions))
        )

    return Mesh(source, say_state, say_change, agree)


class SourceConformance:
    """Subclasses provide the fixture ``mesh``."""

    async def test_it_says_first_how_the_link_stands(self, mesh: Mesh):
        async with mesh.listening() as heard:
            assert isinstance(heard[0], LinkChanged)

    async def test_it_passes_on_what_services_say(self, mesh: Mesh):
        told = state(NOON, lanes=[reading(delivered=7)], gauges={"waiting_rows": 1.5})
        async with mesh.listening():
            await mesh.say_state(told)
            await until(mesh.states)

        assert mesh.states() == [told]

    async def test_it_passes_on_what_is_said_of_jobs_and_providers(self, mesh: Mesh):
        provider = ProviderReading(
            name="acme",
            breaker=BreakerCondition.HALF_OPEN,
            revision=7,
            sends=40,
            failures=21,
            shares={Channel.SMS: 0.5},
            attempts=1_042,
            throttled=3,
        )
        job = JobReading(
            name="reconcile",
            period_seconds=30.0,
            started_at=moment(NOON - 4),
            outcome=JobOutcome.FINISHED,
            repaired=3,
            why={"message_lost": 3},
            strip="..+",
        )
        told = state(
            NOON, providers=[provider], jobs=[job], throttled_seconds={Channel.SMS: 2.5}
        )
        async with mesh.listening():
            await mesh.say_state(told)
            await until(mesh.states)

        assert mesh.states() == [told]

    async def test_it_passes_on_what_dispatchers_agree_on(self, mesh: Mesh):
        told = [breaker(NOON, BreakerCondition.OPEN), breaker(NOON + 5)]
        async with mesh.listening():
            for agreed in told:
                await mesh.agree("acme", agreed)
                await until(lambda: mesh.agreements()[-1:] == [("acme", agreed)])  # noqa: B023
            revisions = [e.revision for e in mesh.heard if isinstance(e, BreakerHeard)]

        assert mesh.agreements() == [("acme", agreed) for agreed in told]
        assert revisions == sorted(set(revisions))

    async def test_it_passes_on_status_changes_in_order(self, mesh: Mesh):
        told = [change(NOON + number, number) for number in range(200)]
        async with mesh.listening():
            for event in told:
                await mesh.say_change(event)
            await until(lambda: len(mesh.changes()) == len(told))

        assert mesh.changes() == told

    async def test_it_ends_when_it_is_cancelled(self, mesh: Mesh):
        task = asyncio.create_task(mesh.source.run(mesh.heard.append))
        await until(mesh.is_connected)
        task.cancel()

        done, _ = await asyncio.wait({task}, timeout=5)
        assert done
        assert task.cancelled()

    async def test_it_can_be_asked_to_refresh_at_any_time(self, mesh: Mesh):
        mesh.source.refresh()
        async with mesh.listening():
            mesh.source.refresh()
            await mesh.say_change(change(NOON))
            await until(mesh.changes)
