"""How following ends, and what it survives: gateways of the tests' own."""

import asyncio
from collections.abc import Iterator
from itertools import count, islice

import aiohttp
import msgspec
import pytest

from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.following import SOCKET, Mesh, following
from tests.integration.gateway.gateways import (
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.relay import relay
from tests.servers import Nats
from tests.waiting import until


@pytest.fixture
def mesh(ledger: Ledger, bus: Bus) -> Mesh:
    return Mesh(ledger, bus)


def without_end(change: StatusChanged) -> Iterator[StatusChanged]:
    """Yield changes of one notification, one after another."""
    for sequence in count(change.sequence):
        yield msgspec.structs.replace(change, sequence=sequence)


async def test_what_happened_while_the_bus_was_away_is_told_when_it_is_back(
    gateway: RunningGateway, mesh: Mesh, bus: Bus, nats_server: Nats
) -> None:
    async with following(gateway) as follower:
        created = await gateway.create()
        await follower.follow(created["id"])
        await nats_server.server.crash()
        for status in (Status.PROCESSING, Status.RETRYING):
            await mesh.commit(created["id"], status)
        later = await gateway.create()
        assert (await follower.follow(later["id"]))["status"] == "queued"
        await nats_server.server.start()

        assert await follower.statuses(2) == ["processing", "retrying"]
        await until(lambda: gateway.service.bus.nc.is_connected)
        await bus.connected.wait()
        await mesh.move(later["id"], Status.PROCESSING)
        await mesh.move(created["id"], Status.PROCESSING)
        assert [f["notification_id"] for f in await follower.frames(2)] == [
            later["id"],
            created["id"],
        ]
        assert await follower.is_quiet()


async def test_a_filter_is_told_what_the_bus_brought_while_this_gateway_was_cut_off(
    settings: MeshSettings, mesh: Mesh
) -> None:
    async with (
        relay(str(settings.nats_url[0])) as wire,
        running_gateway(settings, nats_url=wire.url) as gateway,
        following(gateway) as follower,
    ):
        created = await gateway.create()
        await follower.subscribe(channel="sms", status="processing")
        await follower.subscribe(status="retrying")
        assert await follower.is_quiet()
        await mesh.move(created["id"], Status.PROCESSING)
        assert await follower.statuses(1) == ["processing"]

        wire.cut()
        await until(lambda: not gateway.service.bus.connected.is_set())
        await mesh.move(created["id"], Status.RETRYING, Status.PROCESSING)
        await wire.mend()
        await until(lambda: gateway.service.bus.connected.is_set())

        told = [(f["status"], f["sequence"]) for f in await follower.frames(2)]
        assert sorted(told) == [("processing", 5), ("retrying", 4)]
        await mesh.move(created["id"], Status.RETRYING)
        assert (await follower.frame())["sequence"] == 6
        assert await follower.is_quiet()


async def test_a_client_that_does_not_read_is_sent_away(
    settings: MeshSettings, mesh: Mesh
) -> None:
    async with running_gateway(settings, gateway_live_queue_bytes=256 << 10) as gateway:
        created = await gateway.create()
        async with following(gateway) as slow, following(gateway) as quick:
            for client in (slow, quick):
                await client.subscribe(status="processing")
                await client.follow(created["id"])
            change = await mesh.commit(created["id"], Status.PROCESSING)
            other = await gateway.create()
            noises = without_end(await mesh.commit(other["id"], Status.PROCESSING))
            await mesh.tell(change)
            assert await quick.statuses(1) == ["processing"]

            async def read_all() -> None:
                while True:
                    await quick.socket.receive()

            reading = asyncio.create_task(read_all())
            slow_clients = "tocsin_live_slow_clients_total"

            async def pushed_out() -> bool:
                await mesh.tell(*islice(noises, 500))
                return gateway.metric(slow_clients, transport="websocket") == 1

            await until(pushed_out, 20)
            assert await slow.closed() == 1013
            reading.cancel()
        assert gateway.metric(slow_clients, transport="websocket") == 1


async def test_a_client_that_never_reads_again_is_cut_off(
    settings: MeshSettings, mesh: Mesh
) -> None:
    async with running_gateway(settings, gateway_live_queue_bytes=256 << 10) as gateway:
        created = await gateway.create()
        async with following(gateway) as slow:
            await slow.subscribe(status="processing")
            await slow.follow(created["id"])
            other = await gateway.create()
            noises = without_end(await mesh.commit(other["id"], Status.PROCESSING))

            async def pushed_out() -> bool:
                await mesh.tell(*islice(noises, 500))
                return gateway.metric("tocsin_live_clients", transport="websocket") == 0

            await until(pushed_out, 20)


async def test_who_follows_is_sent_away_when_the_gateway_stops(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings) as gateway:
        created = await gateway.create()
        async with following(gateway) as one, following(gateway) as other:
            await one.follow(created["id"])
            gateway.service.stopping.set()

            assert await one.closed() == 1001
            assert await other.closed() == 1001


async def test_an_idle_connection_is_pinged(settings: MeshSettings, bus: Bus) -> None:
    async with (
        running_gateway(settings, gateway_live_ping_seconds=0.05) as gateway,
        gateway.http.ws_connect(SOCKET, autoping=False) as socket,
    ):
        for _ in range(2):
            message = await socket.receive(timeout=5)
            assert message.type is aiohttp.WSMsgType.PING
            await socket.pong()


async def test_so_many_clients_and_subscriptions_and_no_more(
    settings: MeshSettings, bus: Bus
) -> None:
    async with (
        running_gateway(
            settings, gateway_live_clients=1, gateway_live_subscriptions=1
        ) as gateway,
        following(gateway) as follower,
    ):
        followed = (await gateway.create())["id"]
        await follower.follow(followed)
        await follower.subscribe(status="failed")
        assert "may follow 1" in (await follower.frame())["error"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await gateway.http.ws_connect(SOCKET)
        assert refusal.value.status == 503
        refused = await gateway.get(f"{NOTIFICATIONS}/{followed}/events")
        assert refused.status == 503
        assert (await problem_of(refused))["type"] == "/probs/overloaded"
