"""Invariants 1 and 2: a 202 is a promise, and nothing accepted is stranded."""

import asyncio
import json

import aiohttp
import pytest

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import (
    blocked_ledger,
    closed_to_everyone,
    is_waiting,
)
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.servers import Nats, Stack, paused
from tests.waiting import until

DEPTH = "tocsin_intake_depth_notifications"


async def count(ledger: Ledger, table: str) -> int:
    [row] = await ledger.fetch(f"SELECT count(*) AS n FROM {table}")
    return int(row["n"])


async def test_no_answer_comes_before_the_commit(
    either_gateway: RunningGateway, ledger: Ledger, dsn: str
) -> None:
    async with blocked_ledger(dsn) as blocked:
        single = asyncio.create_task(either_gateway.post())
        await blocked.somebody_waits()
        batch = asyncio.create_task(
            either_gateway.post({"notifications": [SMS] * 3}, BATCHES)
        )
        await until(lambda: either_gateway.metric(DEPTH) == 4)
        assert await is_waiting(single)
        assert await is_waiting(batch)
        assert await count(ledger, "notification") == 0
    assert (await single).status == 202
    assert (await batch).status == 202
    assert await count(ledger, "notification") == 4


async def test_a_commit_that_fails_is_never_a_202(
    either_gateway: RunningGateway, ledger: Ledger, dsn: str, nats_server: Nats
) -> None:
    """Nor does the spool take it: the bus is away too."""
    async with blocked_ledger(dsn) as blocked:
        posts = [asyncio.create_task(either_gateway.post()) for _ in range(5)]
        await blocked.somebody_waits()
        await until(lambda: either_gateway.metric(DEPTH) == 5)
        await nats_server.server.crash()
        await blocked.break_connections()
        first = await posts[0]
        assert first.status == 503
        assert first.headers["Retry-After"] == "1"
        problem = await problem_of(first)
        assert problem["type"] == "/probs/dependency-unavailable"
    accepted = [p for p in await asyncio.gather(*posts) if p.status == 202]
    assert await count(ledger, "notification") == len(accepted)
    assert either_gateway.metric(DEPTH) == 0


async def test_a_ledger_without_tables_promises_nothing_and_recovers(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    await ledger.fetch("ALTER TABLE outbox_group RENAME TO hidden")
    response = await gateway.post()

    assert response.status == 503
    assert (await problem_of(response))["type"] == "/probs/dependency-unavailable"
    await ledger.fetch("ALTER TABLE hidden RENAME TO outbox_group")
    assert (await gateway.post()).status == 202
    assert await count(ledger, "notification") == 1


async def test_what_gathers_while_a_group_commits_is_the_next_group(
    gateway: RunningGateway, dsn: str
) -> None:
    async with blocked_ledger(dsn) as blocked:
        first = asyncio.create_task(gateway.post())
        await blocked.somebody_waits()
        others = [asyncio.create_task(gateway.post()) for _ in range(60)]
        await until(lambda: gateway.metric(DEPTH) == 61)
    responses = await asyncio.gather(first, *others)

    assert [response.status for response in responses] == [202] * 61
    groups = "tocsin_intake_group_size_notifications"
    assert gateway.metric(f"{groups}_count") == 2
    assert gateway.metric(f"{groups}_sum") == 61


async def test_one_submission_that_cannot_be_stored_fails_alone(
    gateway: RunningGateway, ledger: Ledger, dsn: str
) -> None:
    await ledger.fetch(
        "ALTER TABLE notification ADD CONSTRAINT no_six CHECK (content <> 'six')"
    )
    async with blocked_ledger(dsn) as blocked:
        first = asyncio.create_task(gateway.post())
        await blocked.somebody_waits()
        contents = ["five", "six", "seven"]
        posts = [
            asyncio.create_task(gateway.post(SMS | {"content": c})) for c in contents
        ]
        await until(lambda: gateway.metric(DEPTH) == 4)
    five, six, seven = await asyncio.gather(*posts)

    assert (await first).status == 202
    assert [five.status, six.status, seven.status] == [202, 500, 202]
    problem = await problem_of(six)
    assert problem["type"] == "/probs/internal"
    assert "no_six" not in json.dumps(problem)
    assert await count(ledger, "notification") == 3


async def test_a_full_intake_says_so_and_takes_more_when_it_has_room(
    settings: MeshSettings, bus: Bus, dsn: str
) -> None:
    async with running_gateway(settings, gateway_intake_capacity=1000) as gateway:
        async with blocked_ledger(dsn) as blocked:
            batch = asyncio.create_task(
                gateway.post({"notifications": [SMS] * 1000}, BATCHES)
            )
            await blocked.somebody_waits()
            refused = await gateway.post()
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await problem_of(refused))["type"] == "/probs/overloaded"
        assert (await batch).status == 202
        assert (await gateway.post()).status == 202


async def test_a_client_that_leaves_does_not_harm_its_group(
    either_gateway: RunningGateway, ledger: Ledger, dsn: str
) -> None:
    async with blocked_ledger(dsn) as blocked:
        first = asyncio.create_task(either_gateway.post())
        await blocked.somebody_waits()
        reader, writer = await asyncio.open_connection("127.0.0.1", either_gateway.port)
        body = json.dumps(SMS).encode()
        writer.write(
            b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        await writer.drain()
        await until(lambda: either_gateway.metric(DEPTH) == 2)
        writer.close()
        await writer.wait_closed()
        stays = asyncio.create_task(either_gateway.post())
        await until(lambda: either_gateway.metric(DEPTH) == 3)
    assert (await first).status == 202
    assert (await stays).status == 202
    assert await reader.read() == b""
    assert await count(ledger, "notification") == 3


async def test_a_bus_that_is_away_costs_no_promise_and_its_groups_stay_listed(
    gateway: RunningGateway, ledger: Ledger, nats_server: Nats
) -> None:
    await nats_server.server.crash()
    await until(lambda: not gateway.service.bus.nc.is_connected)
    responses = [await gateway.post() for _ in range(3)]
    ids = [(await response.json())["id"] for response in responses]

    assert [response.status for response in responses] == [202] * 3
    left = "tocsin_outbox_groups_left_total"
    await until(lambda: gateway.metric(left, because="bus") == 3)
    rows = await ledger.fetch(
        "SELECT unnest(notification_ids)::text AS id FROM outbox_group"
    )
    assert sorted(row["id"] for row in rows) == sorted(ids)
    await nats_server.server.start()
    await until(lambda: gateway.service.bus.nc.is_connected)
    created = await gateway.create()
    await until(lambda: is_unlisted(ledger, created["id"]))


async def is_unlisted(ledger: Ledger, id_: str) -> bool:
    rows = await ledger.fetch(
        "SELECT FROM outbox_group WHERE $1 = ANY(notification_ids::text[])", id_
    )
    return rows == []


async def test_what_the_bus_cannot_take_fast_enough_is_left_to_the_scheduler(
    settings: MeshSettings, bus: Bus, ledger: Ledger, nats_server: Nats
) -> None:
    async with running_gateway(settings, gateway_publish_backlog=1000) as gateway:
        with paused(nats_server.server):
            for _ in range(3):
                response = await gateway.post({"notifications": [SMS] * 1000}, BATCHES)
                assert response.status == 202
            left = "tocsin_outbox_groups_left_total"
            assert gateway.metric(left, because="backlog") == 2
        await until(lambda: unlisted_but(ledger, 2), 10)


async def unlisted_but(ledger: Ledger, groups: int) -> bool:
    return await count(ledger, "outbox_group") == groups


async def test_told_to_stop_a_gateway_answers_commits_and_publishes_first(
    settings: MeshSettings, bus: Bus, ledger: Ledger, dsn: str
) -> None:
    async with running_gateway(settings) as gateway:
        async with blocked_ledger(dsn) as blocked:
            posts = [asyncio.create_task(gateway.post()) for _ in range(20)]
            await blocked.somebody_waits()
            await until(lambda: gateway.metric(DEPTH) == 20)
            gateway.service.stopping.set()
            await until(lambda: refuses_connections(gateway.port))
            assert await is_waiting(posts[0])
        responses = await asyncio.gather(*posts)
    assert [response.status for response in responses] == [202] * 20
    assert await count(ledger, "notification") == 20
    assert await count(ledger, "outbox_group") == 0
    assert (await bus.js.stream_info("NOTIFY")).state.messages == 20


async def refuses_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    writer.close()
    return False


async def test_an_upload_that_never_ends_does_not_keep_a_gateway_from_stopping(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings, drain_seconds=1.0) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        await writer.drain()
        assert (await gateway.post()).status == 202
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"/probs/bad-request" in answer
    writer.close()


async def test_a_ledger_that_is_away_shows_in_every_route(
    settings: MeshSettings, bus: Bus, gateway: RunningGateway, ledger: Ledger
) -> None:
    created = await gateway.create()
    path = f"{NOTIFICATIONS}/{created['id']}"
    await ledger.fetch("ALTER TABLE notification RENAME TO hidden")
    for asked in (path, f"{path}/trace"):
        response = await gateway.get(asked)
        assert response.status == 503
        assert (await problem_of(response))["type"] == "/probs/dependency-unavailable"
    await ledger.fetch("ALTER TABLE hidden RENAME TO notification")
    assert (await gateway.get(path)).status == 200


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready"])
async def test_a_well_gateway_says_so(gateway: RunningGateway, path: str) -> None:
    response = await gateway.get(path)

    assert response.status == 200
    assert await response.json() == {"status": "ok"}


async def test_readiness_names_what_is_away(
    gateway: RunningGateway, servers: Stack, nats_server: Nats
) -> None:
    await nats_server.server.crash()
    async with closed_to_everyone(servers, gateway.service.ledger):
        response = await until(lambda: not_ready(gateway))
        assert response is not None
        problem = await problem_of(response)
        assert problem["type"] == "/probs/dependency-unavailable"
        assert "postgres" in problem["detail"]
        assert (await gateway.get("/healthz/live")).status == 200


async def test_a_gateway_is_ready_without_the_ledger(
    gateway: RunningGateway, servers: Stack
) -> None:
    """It accepts into the spool, so a load balancer must not turn away."""
    async with closed_to_everyone(servers, gateway.service.ledger):
        await until(lambda: gateway.metric("tocsin_ledger_away") == 1)

        assert (await gateway.get("/healthz/ready")).status == 200


async def test_a_gateway_is_ready_without_the_bus(
    gateway: RunningGateway, nats_server: Nats
) -> None:
    """A 202 needs only the ledger, so a load balancer must not turn away."""
    await nats_server.server.crash()
    await until(lambda: not gateway.service.bus.nc.is_connected)

    assert (await gateway.get("/healthz/ready")).status == 200


async def not_ready(gateway: RunningGateway) -> aiohttp.ClientResponse | None:
    response = await gateway.get("/healthz/ready")
    return response if response.status == 503 else None
