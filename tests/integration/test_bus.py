import asyncio
import socket
from collections.abc import AsyncIterator

import nats.errors
import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from ops.runtime import topology
from ops.runtime.bus import Bus, open_bus
from tests.integration.conftest import mesh_settings
from tests.servers import Nats, Stack
from tests.waiting import until


@pytest.fixture
def settings(nats_url: str, servers: Stack) -> MeshSettings:
    return mesh_settings(servers.postgres_dsn, nats_url, servers.redis_url)


@pytest_asyncio.fixture
async def early_bus(settings: MeshSettings, nats_server: Nats) -> AsyncIterator[Bus]:
    """Opened while its server is not there yet."""
    await nats_server.server.crash()
    async with asyncio.timeout(1):
        opening = open_bus(settings, "early", pytest.fail)
        bus = await opening.__aenter__()
    yield bus
    await opening.__aexit__(None, None, None)


async def test_a_bus_opens_without_its_server(early_bus: Bus) -> None:
    assert not early_bus.connected.is_set()
    with pytest.raises(ConnectionError):
        await early_bus.check()


async def test_a_bus_whose_server_comes_late_connects(
    early_bus: Bus, nats_server: Nats
) -> None:
    await nats_server.server.start()

    async with asyncio.timeout(5):
        await early_bus.connected.wait()
    await early_bus.check()
    await topology.ensure(early_bus.js)


async def test_a_bus_that_never_connected_closes(early_bus: Bus) -> None:
    """The fixture's end is the test: closing must neither wait nor complain."""


async def test_a_bus_reconnects_and_tells_who_asked(
    bus: Bus, nats_server: Nats
) -> None:
    told = asyncio.Event()
    bus.on_reconnect(told.set)

    await nats_server.server.restart()

    async with asyncio.timeout(5):
        await told.wait()
    await bus.check()
    assert bus.connected.is_set()
    await bus.js.publish("notify.sms.high", b"{}")


async def test_a_lost_bus_says_so_and_keeps_nothing_for_later(
    bus: Bus, nats_server: Nats
) -> None:
    await nats_server.server.crash()
    await until(lambda: not bus.connected.is_set())
    with pytest.raises(ConnectionError):
        await bus.check()
    with pytest.raises(nats.errors.OutboundBufferLimitError):
        await bus.nc.publish("notify.sms.high", b"{}")

    await nats_server.server.start()
    await until(bus.connected.is_set)
    assert (await bus.js.stream_info("NOTIFY")).state.messages == 0


async def test_a_bus_closes_while_its_server_is_away(
    settings: MeshSettings, nats_server: Nats
) -> None:
    async with asyncio.timeout(10), open_bus(settings, "test", pytest.fail) as bus:
        await bus.connected.wait()
        await nats_server.server.crash()
        await until(lambda: not bus.connected.is_set())


async def test_a_bus_closes_while_its_server_is_frozen(
    settings: MeshSettings, nats_server: Nats
) -> None:
    try:
        async with asyncio.timeout(10), open_bus(settings, "test", pytest.fail) as bus:
            await bus.connected.wait()
            nats_server.server.pause()
    finally:
        nats_server.server.resume()


async def test_an_address_where_nothing_speaks_nats_is_kept_trying(
    servers: Stack,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
        settings = mesh_settings(servers.postgres_dsn, url, servers.redis_url)
        async with open_bus(settings, "test", pytest.fail) as bus:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(bus.connected.wait(), 0.6)
