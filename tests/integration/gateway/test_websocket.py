"""Following notifications over WebSocket."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from contracts.keys import Role
from contracts.lifecycle import Status
from contracts.settings import MeshSettings
from ops import keys
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.following import SOCKET, Follower, Mesh, following
from tests.integration.gateway.gateways import (
    BATCHES,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.servers import Nats
from tests.waiting import until


@pytest.fixture
def mesh(ledger: Ledger, bus: Bus) -> Mesh:
    return Mesh(ledger, bus)


@pytest_asyncio.fixture
async def follower(gateway: RunningGateway) -> AsyncIterator[Follower]:
    async with following(gateway) as follower:
        yield follower


async def test_where_it_stands_comes_first_and_then_every_change(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    created = await gateway.create()
    snapshot = await follower.follow(created["id"])
    await mesh.move(
        created["id"],
        Status.PROCESSING,
        Status.RETRYING,
        Status.PROCESSING,
        Status.DELIVERED,
    )
    frames = await follower.frames(4)

    assert snapshot["notification_id"] == created["id"]
    assert set(snapshot) == {"notification_id", "status", "attempts", "at", "sequence"}
    assert [snapshot["status"], *(frame["status"] for frame in frames)] == [
        "queued",
        "processing",
        "retrying",
        "processing",
        "delivered",
    ]
    assert [frame["sequence"] for frame in frames] == [3, 4, 5, 6]
    assert [frame["attempts"] for frame in frames] == [1, 1, 2, 2]
    assert await follower.is_quiet()


async def test_a_client_gets_no_frame_of_what_it_did_not_ask_for(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    mine, others = await gateway.create(), await gateway.create()
    async with following(gateway) as other:
        await follower.follow(mine["id"])
        await other.follow(others["id"])
        await mesh.move(others["id"], Status.PROCESSING)
        await mesh.move(mine["id"], Status.PROCESSING)
        await mesh.move(others["id"], Status.DELIVERED)

        assert (await follower.frame())["notification_id"] == mine["id"]
        assert await follower.is_quiet()
        assert {f["notification_id"] for f in await other.frames(2)} == {others["id"]}


async def test_a_subject_is_shared_and_goes_with_its_last_client(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    created = await gateway.create()
    async with following(gateway) as other:
        for client in (follower, other):
            await client.follow(created["id"])
        assert gateway.metric("tocsin_live_clients", door="websocket") == 2
        assert gateway.metric("tocsin_live_subscriptions") == 2
        assert gateway.metric("tocsin_live_subjects") == 1
        await mesh.move(created["id"], Status.PROCESSING)
        for client in (follower, other):
            assert await client.statuses(1) == ["processing"]

        await follower.unsubscribe(notification_id=created["id"])
        assert await follower.is_quiet()
        await mesh.move(created["id"], Status.DELIVERED)
        assert await other.statuses(1) == ["delivered"]
        assert await follower.is_quiet()
    await until(lambda: gateway.metric("tocsin_live_subjects") == 0)
    assert gateway.metric("tocsin_live_subscriptions") == 0
    assert gateway.metric("tocsin_live_clients", door="websocket") == 1


async def test_a_batch_is_followed_as_a_whole(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    response = await gateway.post({"notifications": [SMS] * 3}, BATCHES)
    batch_id = (await response.json())["id"]
    members = await (await gateway.get(f"{BATCHES}/{batch_id}")).json()
    ids = [member["id"] for member in members["notifications"]]
    await follower.follow(ids[1])
    await follower.subscribe(batch_id=batch_id)
    snapshot = await follower.frames(3)
    await mesh.move(ids[1], Status.PROCESSING)
    await mesh.move(ids[2], Status.PROCESSING)

    assert {frame["notification_id"] for frame in snapshot} == set(ids)
    assert {frame["batch_id"] for frame in snapshot} == {batch_id}
    assert [f["notification_id"] for f in await follower.frames(2)] == ids[1:]
    await follower.unsubscribe(batch_id=batch_id)
    assert await follower.is_quiet()
    for id_ in ids:
        await mesh.move(id_, Status.DELIVERED)
    assert (await follower.frame())["notification_id"] == ids[1]
    assert await follower.is_quiet()


async def test_a_channel_and_a_status_are_followed_each_event_once(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    known = await gateway.create()
    await follower.subscribe(channel="sms", status="failed")
    await follower.subscribe(status="failed")
    await follower.follow(known["id"])
    unknown = await gateway.create()
    await mesh.move(unknown["id"], Status.PROCESSING, Status.FAILED)
    await mesh.move(known["id"], Status.PROCESSING, Status.FAILED)
    frames = await follower.frames(3)

    assert [(f["notification_id"], f["status"]) for f in frames] == [
        (unknown["id"], "failed"),
        (known["id"], "processing"),
        (known["id"], "failed"),
    ]
    for filters in ({"channel": "sms", "status": "failed"}, {"status": "failed"}):
        await follower.unsubscribe(**filters)
    await until(lambda: gateway.metric("tocsin_live_subjects") == 1)
    assert await follower.is_quiet()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"action":"shout"}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","notification_id":7}',
        '{"action":"subscribe","notification_id":"x"}',
        '{"action":"subscribe","batch_id":"x"}',
        '{"action":"subscribe","channel":"fax"}',
        '{"action":"subscribe","status":"lost"}',
        '{"action":"subscribe","channel":"sms","batch_id":"x"}',
        r'{"action":"subscribe","notification_id":"\ud83d"}',
        '{"action":"subscribe","notification_id":"0193f0a0-0000-7000-8000-000000000000"}',
        '{"action":"subscribe","batch_id":"0193f0a0-0000-7000-8000-000000000000"}',
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_frame_that_is_no_command_gets_one_error_and_the_connection_stays(
    shared_gateway: RunningGateway, frame: str
) -> None:
    async with following(shared_gateway) as follower:
        await follower.socket.send_str(frame)
        assert (await follower.frame())["error"]
        await follower.socket.send_bytes(b"x")
        assert (await follower.frame())["error"] == "send text frames"
        assert await follower.is_quiet()


async def test_a_change_that_was_never_told_is_looked_up_when_the_next_one_comes(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    created = await gateway.create()
    await follower.follow(created["id"])
    for status in (Status.PROCESSING, Status.RETRYING, Status.PROCESSING):
        await mesh.commit(created["id"], status)
    await mesh.move(created["id"], Status.DELIVERED)
    frames = await follower.frames(4)

    assert [frame["sequence"] for frame in frames] == [3, 4, 5, 6]
    assert [frame["attempts"] for frame in frames] == [1, 1, 2, 2]
    assert await follower.is_quiet()


async def test_changes_that_come_twice_and_out_of_order_are_told_once_in_order(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    created = await gateway.create()
    await follower.follow(created["id"])
    changes = [
        await mesh.commit(created["id"], status)
        for status in (Status.PROCESSING, Status.RETRYING, Status.PROCESSING)
    ]
    await mesh.tell(*reversed(changes), *changes)

    assert [f["sequence"] for f in await follower.frames(3)] == [3, 4, 5]
    assert await follower.is_quiet()


async def test_what_happened_while_the_bus_was_away_is_told_when_it_is_back(
    gateway: RunningGateway, follower: Follower, mesh: Mesh, nats_server: Nats
) -> None:
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
    await mesh._bus.connected.wait()
    await mesh.move(later["id"], Status.PROCESSING)
    await mesh.move(created["id"], Status.PROCESSING)
    assert [f["notification_id"] for f in await follower.frames(2)] == [
        later["id"],
        created["id"],
    ]
    assert await follower.is_quiet()


async def test_without_the_ledger_a_subscription_is_refused_and_the_connection_stays(
    gateway: RunningGateway, follower: Follower, ledger: Ledger
) -> None:
    created = await gateway.create()
    await ledger.fetch("ALTER TABLE notification RENAME TO hidden")
    refused = await follower.follow(created["id"])
    await ledger.fetch("ALTER TABLE hidden RENAME TO notification")

    assert refused["notification_id"] == created["id"]
    assert "ledger" in refused["error"]
    assert gateway.metric("tocsin_live_subscriptions") == 0
    assert (await follower.follow(created["id"]))["status"] == "queued"


async def test_a_client_that_does_not_read_is_sent_away(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    mesh = Mesh(ledger, bus)
    async with running_gateway(settings, gateway_live_queue_bytes=256 << 10) as gateway:
        created = await gateway.create()
        async with following(gateway) as slow, following(gateway) as quick:
            for client in (slow, quick):
                await client.subscribe(status="processing")
                await client.follow(created["id"])
            change = await mesh.commit(created["id"], Status.PROCESSING)
            other = await gateway.create()
            noise = await mesh.commit(other["id"], Status.PROCESSING)
            await mesh.tell(change)
            assert await quick.statuses(1) == ["processing"]

            async def read_all() -> None:
                while True:
                    await quick.socket.receive()

            reading = asyncio.create_task(read_all())
            slow_clients = "tocsin_live_slow_clients_total"

            async def pushed_out() -> bool:
                await mesh.tell(*[noise] * 500)
                return gateway.metric(slow_clients, door="websocket") == 1

            await until(pushed_out, 20)
            assert await slow.closed() == 1013
            reading.cancel()
        assert gateway.metric(slow_clients, door="websocket") == 1


async def test_a_client_that_never_reads_again_is_cut_off(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    mesh = Mesh(ledger, bus)
    async with running_gateway(settings, gateway_live_queue_bytes=256 << 10) as gateway:
        created = await gateway.create()
        async with following(gateway) as slow:
            await slow.subscribe(status="processing")
            await slow.follow(created["id"])
            noise = await mesh.commit((await gateway.create())["id"], Status.PROCESSING)

            async def pushed_out() -> bool:
                await mesh.tell(*[noise] * 500)
                return gateway.metric("tocsin_live_clients", door="websocket") == 0

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


async def test_nothing_is_compressed(gateway: RunningGateway) -> None:
    async with gateway.http.ws_connect(SOCKET, compress=15) as socket:
        assert not socket.compress
        follower = Follower(socket)
        created = await gateway.create()
        assert (await follower.follow(created["id"]))["status"] == "queued"


async def test_a_plain_request_is_told_to_upgrade(gateway: RunningGateway) -> None:
    assert (await gateway.get(SOCKET)).status == 400


async def test_pages_of_other_origins_stay_out_where_no_key_is_needed(
    gateway: RunningGateway,
) -> None:
    async with gateway.http.ws_connect(
        SOCKET, origin=f"http://127.0.0.1:{gateway.port}"
    ):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await gateway.http.ws_connect(SOCKET, origin="https://elsewhere.example")
    assert refusal.value.status == 403


async def test_so_many_clients_and_subscriptions_and_no_more(
    settings: MeshSettings, bus: Bus
) -> None:
    async with (
        running_gateway(
            settings, gateway_live_clients=1, gateway_live_subscriptions=1
        ) as gateway,
        following(gateway) as follower,
    ):
        await follower.follow((await gateway.create())["id"])
        await follower.subscribe(status="failed")
        assert "may follow 1" in (await follower.frame())["error"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await gateway.http.ws_connect(SOCKET)
        assert refusal.value.status == 503


@pytest_asyncio.fixture
async def guarded(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> AsyncIterator[RunningGateway]:
    """A gateway that asks for keys."""
    async with running_gateway(
        settings,
        gateway_require_keys=True,
        gateway_key_cache_seconds=0.1,
        gateway_live_ping_seconds=0.1,
    ) as gateway:
        yield gateway


async def key_for(tenant: str, role: Role = Role.ADMIN) -> str:
    key, _ = await keys.create(tenant, "test", role)
    return key


async def created_by(gateway: RunningGateway, key: str) -> str:
    response = await gateway.post(Authorization=f"Bearer {key}")
    created: str = (await response.json())["id"]
    return created


async def test_nobody_follows_what_another_tenant_made(
    guarded: RunningGateway, mesh: Mesh
) -> None:
    ours, theirs = await key_for("acme"), await key_for("other")
    id_ = await created_by(guarded, ours)
    async with (
        following(guarded, key=ours) as owner,
        following(guarded, key=theirs) as stranger,
    ):
        assert (await owner.follow(id_))["status"] == "queued"
        assert "error" in await stranger.follow(id_)
        for wanted in ({"status": "processing"}, {"channel": "sms"}):
            await stranger.subscribe(**wanted)
        assert await stranger.is_quiet()
        own = await created_by(guarded, theirs)
        await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
        await mesh.move(own, Status.PROCESSING)

        assert await owner.statuses(2) == ["processing", "delivered"]
        seen = await stranger.frames(2)
        assert {frame["notification_id"] for frame in seen} == {own}


async def test_only_a_role_that_may_list_follows_by_channel_and_status(
    guarded: RunningGateway,
) -> None:
    for role in Role:
        async with following(guarded, key=await key_for("acme", role)) as follower:
            await follower.subscribe(channel="sms")
            await follower.socket.send_str("nonsense")
            error = (await follower.frame())["error"]
            assert ("sender" in error) == (role is Role.SENDER)


async def test_without_a_good_key_nobody_is_let_in(guarded: RunningGateway) -> None:
    for headers in ({}, {"Authorization": "Bearer tocsin_guess"}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await guarded.http.ws_connect(SOCKET, headers=headers)
        assert refusal.value.status == 401
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await guarded.http.ws_connect(SOCKET, protocols=["tocsin.v1", "tocsin_guess"])
    assert refusal.value.status == 401


async def test_a_browser_passes_its_key_as_a_subprotocol(
    guarded: RunningGateway,
) -> None:
    key = await key_for("acme")
    id_ = await created_by(guarded, key)
    async with following(guarded, protocols=["tocsin.v1", key]) as follower:
        assert follower.socket.protocol == "tocsin.v1"
        assert (await follower.follow(id_))["status"] == "queued"


async def test_a_connection_does_not_outlive_its_key(guarded: RunningGateway) -> None:
    key, entry = await keys.create("acme", "test", Role.READER)
    async with following(guarded, key=key) as follower:
        await keys.revoke(entry.id)
        assert await follower.closed() == 1008
