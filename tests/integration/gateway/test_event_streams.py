"""Following notifications as server-sent events."""

import pytest

from contracts.ids import new_id
from contracts.keys import Role
from contracts.lifecycle import Status
from contracts.settings import MeshSettings
from ops import keys
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.following import Mesh, streaming
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.servers import Nats
from tests.waiting import until


@pytest.fixture
def mesh(ledger: Ledger, bus: Bus) -> Mesh:
    return Mesh(ledger, bus)


async def batch_of(gateway: RunningGateway, size: int) -> tuple[str, list[str]]:
    """Create a batch; return the path of its events and the ids of its members."""
    response = await gateway.post({"notifications": [SMS] * size}, BATCHES)
    path = f"{BATCHES}/{(await response.json())['id']}"
    batch = await (await gateway.get(path)).json()
    return f"{path}/events", [member["id"] for member in batch["notifications"]]


async def test_a_stream_tells_every_change_and_ends_with_the_last(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    created = await gateway.create()
    async with streaming(gateway, f"{NOTIFICATIONS}/{created['id']}/events") as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-store"
        assert await events.block() == "retry: 2000\n"
        first = await events.event()
        await mesh.move(created["id"], Status.PROCESSING, Status.DELIVERED)
        rest = await events.rest()

    assert first is not None
    seen = [first, *rest]
    assert [data["status"] for _, data in seen] == ["queued", "processing", "delivered"]
    assert [id_ for id_, _ in seen] == ["2", "3", "4"]
    assert {data["notification_id"] for _, data in seen} == {created["id"]}
    await until(lambda: gateway.metric("tocsin_live_subjects") == 0)
    assert gateway.metric("tocsin_live_clients", transport="event_stream") == 0


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    created = await gateway.create()
    path = f"{NOTIFICATIONS}/{created['id']}/events"
    async with streaming(gateway, path) as events:
        first = await events.event()
    assert first is not None
    await mesh.move(created["id"], Status.PROCESSING, Status.RETRYING)
    async with streaming(gateway, path, Last_Event_ID=first[0]) as events:
        missed = [await events.event(), await events.event()]
        await mesh.move(created["id"], Status.PROCESSING, Status.DELIVERED)
        rest = await events.rest()

    told = [event for event in (*missed, *rest) if event is not None]
    assert [data["status"] for _, data in told] == [
        "processing",
        "retrying",
        "processing",
        "delivered",
    ]
    assert [data["attempts"] for _, data in told] == [1, 1, 2, 2]


async def test_a_browser_that_has_seen_the_end_stops_asking(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    created = await gateway.create()
    path = f"{NOTIFICATIONS}/{created['id']}/events"
    await mesh.move(created["id"], Status.PROCESSING, Status.FAILED)
    async with streaming(gateway, path) as events:
        [(last_id, data)] = await events.rest()
    assert data["status"] == "failed"
    assert (await gateway.get(path, Last_Event_ID=last_id)).status == 204
    async with streaming(gateway, path, Last_Event_ID="3") as events:
        assert [data["status"] for _, data in await events.rest()] == ["failed"]
    async with streaming(gateway, path, Last_Event_ID="not ours") as events:
        assert [data["status"] for _, data in await events.rest()] == ["failed"]


@pytest.mark.parametrize("event_id", ["5", "999999999", "999999999r"])
async def test_an_event_id_of_a_change_that_has_not_been_is_none_of_ours(
    gateway: RunningGateway, mesh: Mesh, event_id: str
) -> None:
    created = await gateway.create()
    await mesh.move(created["id"], Status.PROCESSING, Status.DELIVERED)
    path = f"{NOTIFICATIONS}/{created['id']}/events"

    async with streaming(gateway, path, Last_Event_ID=event_id) as events:
        told = await events.rest()

    assert [(id_, data["status"]) for id_, data in told] == [("4", "delivered")]


async def test_an_event_id_of_a_batch_that_knows_too_much_is_none_of_ours(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    path, ids = await batch_of(gateway, 2)
    for id_ in ids:
        await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)

    async with streaming(gateway, path, Last_Event_ID="9z") as events:
        told = await events.rest()

    assert {data["notification_id"] for _, data in told} == set(ids)
    assert told[-1][0] == "44"


async def test_a_batch_streams_until_its_last_member_is_final_and_resumes(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    path, ids = await batch_of(gateway, 3)
    async with streaming(gateway, path) as events:
        snapshot = [await events.event() for _ in ids]
        await mesh.move(ids[0], Status.PROCESSING)
        last = await events.event()
    assert {event[1]["notification_id"] for event in snapshot if event} == set(ids)
    assert last is not None
    assert last[1]["status"] == "processing"
    await mesh.move(ids[1], Status.PROCESSING, Status.DELIVERED)
    await mesh.move(ids[0], Status.DELIVERED)
    async with streaming(gateway, path, Last_Event_ID=last[0]) as events:
        missed = [await events.event() for _ in range(3)]
        await mesh.move(ids[2], Status.PROCESSING, Status.FAILED)
        rest = await events.rest()

    told = [event for event in (*missed, *rest) if event is not None]
    assert sorted((ids.index(d["notification_id"]), d["status"]) for _, d in told) == [
        (0, "delivered"),
        (1, "delivered"),
        (1, "processing"),
        (2, "failed"),
        (2, "processing"),
    ]
    assert (await gateway.get(path, Last_Event_ID=told[-1][0])).status == 204


async def test_a_stream_survives_the_bus(
    gateway: RunningGateway, mesh: Mesh, nats_server: Nats
) -> None:
    created = await gateway.create()
    async with streaming(gateway, f"{NOTIFICATIONS}/{created['id']}/events") as events:
        await events.event()
        await nats_server.server.crash()
        await mesh.commit(created["id"], Status.PROCESSING)
        await mesh.commit(created["id"], Status.DELIVERED)
        await nats_server.server.start()
        told = [data["status"] for _, data in await events.rest()]
    assert told == ["processing", "delivered"]


async def test_a_last_change_that_nobody_told_ends_a_stream_late_but_ends_it(
    settings: MeshSettings, mesh: Mesh
) -> None:
    async with running_gateway(settings, gateway_live_ping_seconds=0.1) as gateway:
        created = await gateway.create()
        async with streaming(
            gateway, f"{NOTIFICATIONS}/{created['id']}/events"
        ) as events:
            await events.event()
            await mesh.commit(created["id"], Status.PROCESSING)
            await mesh.commit(created["id"], Status.DELIVERED)
            told = [data["status"] for _, data in await events.rest()]
    assert told == ["processing", "delivered"]


async def test_a_stream_is_kept_alive_and_ends_when_the_gateway_stops(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings, gateway_live_ping_seconds=0.05) as gateway:
        created = await gateway.create()
        async with streaming(
            gateway, f"{NOTIFICATIONS}/{created['id']}/events"
        ) as events:
            await events.event()
            for _ in range(2):
                assert await events.block() == ":\n"
            gateway.service.stopping.set()
            assert await events.rest() == []


async def test_what_is_not_there_or_not_ones_own_is_not_found(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with running_gateway(settings, gateway_require_keys=True) as gateway:
        key, _ = await keys.create("acme", "test", Role.SENDER)
        other, _ = await keys.create("other", "test", Role.ADMIN)
        single = await gateway.post(Authorization=f"Bearer {key}")
        batch = await gateway.post(
            {"notifications": [SMS]}, BATCHES, Authorization=f"Bearer {key}"
        )
        own = [f"{r.headers['Location']}/events" for r in (single, batch)]
        for path in own:
            answer = await gateway.get(path, Authorization=f"Bearer {other}")
            assert answer.status == 404
            assert (await gateway.get(path)).status == 401
            async with streaming(
                gateway, path, Authorization=f"Bearer {key}"
            ) as events:
                assert await events.event() is not None
        for path in (NOTIFICATIONS, BATCHES):
            for id_, status in ((new_id(), 404), ("x", 400)):
                answer = await gateway.get(
                    f"{path}/{id_}/events", Authorization=f"Bearer {key}"
                )
                assert answer.status == status


async def test_a_batch_whose_members_are_gone_is_not_found(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    path, _ = await batch_of(gateway, 2)
    await ledger.fetch("TRUNCATE notification, notification_event")

    answer = await gateway.get(path)

    assert answer.status == 404
    assert (await problem_of(answer))["type"] == "/probs/not-found"
