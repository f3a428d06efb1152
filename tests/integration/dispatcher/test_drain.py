"""A dispatcher that is told to stop, or whose servers go away, loses nothing and spends nothing."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import pytest_asyncio

from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from dispatcher.settings import DispatcherSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import AWAY, Ledger
from tests.integration.conftest import Private
from tests.integration.dispatcher.endpoint import (
    Endpoint,
    Gate,
    Reply,
)
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dispatcher_settings,
    have_status,
    messages_on_bus,
    row_of,
    running_dispatcher,
    trace_of,
)
from tests.integration.factories import seed_notifications
from tests.servers import Nats, paused
from tests.waiting import until


@pytest_asyncio.fixture
async def ours(settings: MeshSettings, endpoint: Endpoint) -> DispatcherSettings:
    return dispatcher_settings(settings, endpoint.url)


async def test_sends_under_way_are_finished(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    ids = await seed_notifications(ledger, bus, 50)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: endpoint.in_flight == 50)
        late = await seed_notifications(ledger, bus, 5)
        await until(lambda: endpoint.in_flight == 55)
        stopping = asyncio.create_task(dispatcher.stop(), name="stop")
        await until(dispatcher.service.stopping.is_set)
        never = await seed_notifications(ledger, bus, 5)
        gate.opened.set()
        await stopping

    assert await have_status(ledger, [*ids, *late], "delivered")
    assert await have_status(ledger, never, "queued")
    assert await messages_on_bus(bus) == 5
    assert (await row_of(ledger, never[0]))["attempts"] == 0


async def test_a_send_that_outlasts_the_drain_is_given_back_unspent(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    endpoint.answer = Gate()
    [id_] = await seed_notifications(ledger, bus, 1)
    hasty = ours.model_copy(update={"drain_seconds": 1.0})
    begun = 0.0
    async with running_dispatcher(hasty) as dispatcher:
        await until(lambda: endpoint.received)
        begun = time.monotonic()
        await dispatcher.stop()

    assert time.monotonic() - begun < 3
    row = await row_of(ledger, id_)
    assert (row["status"], row["attempts"], row["lease_until"]) == ("queued", 0, None)
    endpoint.answer = lambda _: Reply()
    async with running_dispatcher(ours):  # the bus brings it again at once
        await until(lambda: have_status(ledger, [id_], "delivered"))

    assert endpoint.keys == [str(id_), str(id_)]
    assert (await row_of(ledger, id_))["attempts"] == 1
    assert await trace_of(ledger, id_) == [
        *("created", "queued", "processing", "queued", "processing", "delivered")
    ]


async def test_stopping_takes_no_time_when_there_is_nothing_to_do(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings
) -> None:
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: waiting_pulls(bus))
        begun = time.monotonic()
        await dispatcher.stop()
        assert time.monotonic() - begun < 1.5

    await until(lambda: no_waiting_pulls(bus))


async def waiting_pulls(bus: Bus) -> bool:
    infos = await bus.js.consumers_info(NOTIFY.name)
    return all(info.num_waiting == 1 for info in infos)


async def no_waiting_pulls(bus: Bus) -> bool:
    infos = await bus.js.consumers_info(NOTIFY.name)
    return all(info.num_waiting == 0 for info in infos)


async def test_an_idle_dispatcher_notices_work_after_the_bus_restarted(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    nats_server: Nats,
) -> None:
    async with running_dispatcher(ours):
        await until(lambda: waiting_pulls(bus))
        await nats_server.server.crash()
        await nats_server.server.start()
        await until(lambda: bus.nc.is_connected)
        [id_] = await seed_notifications(ledger, bus, 1)
        await until(lambda: have_status(ledger, [id_], "delivered"))


async def test_an_outcome_is_kept_while_the_ledger_is_away(
    private: Private, endpoint: Endpoint
) -> None:
    ledger, bus = private.ledger, private.bus
    ours = dispatcher_settings(private.shared, endpoint.url)
    gate = endpoint.answer = Gate()
    ids = await seed_notifications(ledger, bus, 20)
    async with running_dispatcher(ours):
        await until(lambda: len(endpoint.received) == 20)
        await private.servers.postgres.crash()
        gate.opened.set()
        await until(lambda: endpoint.in_flight == 0)
        await bus.nc.flush()
        assert await messages_on_bus(bus) == 20  # sent, and not yet acknowledged
        await private.servers.postgres.start()
        await until(lambda: in_the_end(ledger, ids, "delivered"), timeout_seconds=15)
        await until(lambda: bus_is_empty(bus))

    assert sorted(endpoint.keys) == sorted(map(str, ids))
    assert (await row_of(ledger, ids[0]))["attempts"] == 1


async def in_the_end(ledger: Ledger, ids: Sequence[UUID], status: str) -> bool:
    try:
        return await have_status(ledger, ids, status)
    except AWAY:
        return False


async def test_what_cannot_be_claimed_is_put_back_when_the_dispatcher_stops(
    private: Private, endpoint: Endpoint
) -> None:
    ledger, bus = private.ledger, private.bus
    ours = dispatcher_settings(private.shared, endpoint.url)
    [id_] = await seed_notifications(ledger, bus, 1)
    await private.servers.postgres.crash()
    async with running_dispatcher(ours):
        await until(lambda: is_in_hand(bus))
    await private.servers.postgres.start()
    async with running_dispatcher(ours):
        # sooner than the bus would have brought it by itself
        await until(lambda: in_the_end(ledger, [id_], "delivered"))

    assert endpoint.keys == [str(id_)]
    assert (await row_of(ledger, id_))["attempts"] == 1


async def is_in_hand(bus: Bus) -> bool:
    info = await bus.js.consumer_info(NOTIFY.name, "sms-normal")
    return info.num_ack_pending == 1


async def test_a_ledger_that_hangs_does_not_hold_up_the_end(
    private: Private, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    ours = dispatcher_settings(private.shared, endpoint.url, drain_seconds=2)
    await seed_notifications(private.ledger, private.bus, 5)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: len(endpoint.received) == 5)
        with paused(private.servers.postgres):
            gate.opened.set()
            begun = time.monotonic()
            await dispatcher.stop()
            assert time.monotonic() - begun < 4
