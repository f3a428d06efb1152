"""Following notifications over WebSocket."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from contracts.keys import Role
from contracts.lifecycle import Status
from contracts.settings import MeshSettings
from ops import keys
from tests.integration.conftest import database_made, mesh_settings
from tests.integration.gateway.following import SOCKET, Follower, Mesh, following
from tests.integration.gateway.gateways import (
    BATCHES,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.servers import Stack
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_settings(
    servers: Stack, migrated_template: str
) -> AsyncIterator[MeshSettings]:
    """One ledger for the gateways of this module, with and without keys."""
    async with database_made(servers, migrated_template) as dsn:
        yield mesh_settings(dsn, servers.nats_url, servers.redis_url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_settings: MeshSettings) -> AsyncIterator[RunningGateway]:
    """A gateway that asks for no keys."""
    async with running_gateway(shared_settings) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(
    gateway: RunningGateway, shared_settings: MeshSettings
) -> AsyncIterator[RunningGateway]:
    """A gateway that asks for keys."""
    async with running_gateway(
        shared_settings,
        gateway_require_keys=True,
        gateway_key_cache_seconds=0.1,
        gateway_live_ping_seconds=0.1,
    ) as guarded:
        yield guarded


@pytest.fixture
def mesh(gateway: RunningGateway) -> Mesh:
    return Mesh(gateway.ledger, gateway.service.bus)


@pytest_asyncio.fixture(loop_scope="module")
async def follower(gateway: RunningGateway) -> AsyncIterator[Follower]:
    await until(lambda: gateway.metric("tocsin_live_subjects") == 0)
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


def clients_of(gateway: RunningGateway) -> float:
    return gateway.metric("tocsin_live_clients", transport="websocket")


async def test_a_subject_is_shared_and_goes_with_its_last_client(
    gateway: RunningGateway, follower: Follower, mesh: Mesh
) -> None:
    created = await gateway.create()
    async with following(gateway) as other:
        for client in (follower, other):
            await client.follow(created["id"])
        await until(lambda: clients_of(gateway) == 2)
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
    await until(lambda: clients_of(gateway) == 1)


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
        '{"action":"subscribe","x":' + "[" * 60_000,
        '{"action":"subscribe","notification_id":"0193f0a0-0000-7000-8000-000000000000"}',
        '{"action":"subscribe","batch_id":"0193f0a0-0000-7000-8000-000000000000"}',
    ],
    ids=lambda frame: frame[:60],
)
async def test_a_frame_that_is_no_command_gets_one_error_and_the_connection_stays(
    follower: Follower, frame: str
) -> None:
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


async def test_without_the_ledger_a_subscription_is_refused_and_the_connection_stays(
    gateway: RunningGateway, follower: Follower
) -> None:
    created = await gateway.create()
    await gateway.ledger.fetch("ALTER TABLE notification RENAME TO hidden")
    refused = await follower.follow(created["id"])
    await gateway.ledger.fetch("ALTER TABLE hidden RENAME TO notification")

    assert refused["notification_id"] == created["id"]
    assert "ledger" in refused["error"]
    assert gateway.metric("tocsin_live_subscriptions") == 0
    assert (await follower.follow(created["id"]))["status"] == "queued"


async def test_nothing_is_compressed(gateway: RunningGateway) -> None:
    async with gateway.http.ws_connect(SOCKET, compress=15) as socket:
        assert not socket.compress
        follower = Follower(socket)
        created = await gateway.create()
        assert (await follower.follow(created["id"]))["status"] == "queued"


async def test_a_handshake_is_answered_with_its_correlation_id(
    gateway: RunningGateway,
) -> None:
    async with gateway.http.ws_connect(
        SOCKET, headers={"X-Correlation-ID": "mine"}
    ) as socket:
        headers = socket._response.headers
    assert headers["X-Correlation-ID"] == "mine"
    assert "RateLimit" in headers


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
