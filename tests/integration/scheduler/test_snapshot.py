"""A stream restored from an old snapshot: it has what is long done, and lacks what is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
import pytest_asyncio

from contracts import topology
from contracts.channels import Channel, Priority
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.reconcile import Reconcile
from scheduler.store import Store
from tests.integration.dispatcher.endpoint import Endpoint, running_endpoint
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dispatcher_settings,
    have_status,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import column, ids_on_bus, tally
from tests.integration.scheduler.snapshots import restore, snapshot
from tests.waiting import until


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def reconcile(
    bus: Bus, store: Store, publisher: Publisher, metrics: Metrics
) -> Reconcile:
    return Reconcile(
        bus, store, publisher, metrics, asyncio.Event(), margin_seconds=0.5
    )


async def test_a_stream_restored_from_an_old_snapshot_loses_and_doubles_nothing(
    settings: MeshSettings,
    ledger: Ledger,
    bus: Bus,
    endpoint: Endpoint,
    reconcile: Reconcile,
) -> None:
    ours = dispatcher_settings(settings, endpoint.url)
    done = await seed_notifications(ledger, bus, 150)
    kept = await seed_notifications(ledger, bus, 20, channel=Channel.EMAIL)
    taken = await snapshot(bus, topology.NOTIFY.name)
    await bus.js.pause_consumer(
        topology.NOTIFY.name, "email-normal", "2999-01-01T00:00:00Z"
    )
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, done, "delivered"), 30)
    lost = await seed_notifications(ledger, bus, 100)
    elsewhere = await seed_notifications(ledger, bus, 30, priority=Priority.HIGH)

    await restore(bus, taken)

    assert await ids_on_bus(bus) == dict.fromkeys(done + kept, 1)
    async with running(reconcile.step):
        await until(lambda: _on_bus(bus, elsewhere), 20)
        assert await column(ledger, "sequence", kept) == [2] * len(kept)
        async with running_dispatcher(ours):
            everything = done + kept + lost + elsewhere
            await until(lambda: have_status(ledger, everything, "delivered"), 30)
            await until(lambda: bus_is_empty(bus), 30)

    assert sorted(endpoint.keys) == sorted(map(str, everything))
    assert await tally(ledger, "attempts", everything) == {1: len(everything)}


async def _on_bus(bus: Bus, ids: Sequence[UUID]) -> bool:
    return (await ids_on_bus(bus)).keys() >= set(ids)
