import asyncio
import json
from typing import Any

import aiohttp
import pytest

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)

BATCH = {"notifications": [SMS] * 3}

ROUTES = pytest.mark.parametrize(
    ("path", "body"), [(NOTIFICATIONS, SMS), (BATCHES, BATCH)], ids=["single", "batch"]
)


async def count(ledger: Ledger, table: str = "notification") -> int:
    [row] = await ledger.fetch(f"SELECT count(*) AS n FROM {table}")
    return int(row["n"])


@ROUTES
async def test_the_same_request_again_gets_the_same_answer(
    either_gateway: RunningGateway, ledger: Ledger, path: str, body: Any
) -> None:
    first = await either_gateway.post(body, path, Idempotency_Key="k")
    stored = await count(ledger)
    again = await either_gateway.post(
        body, path, Idempotency_Key="k", X_Correlation_ID="another"
    )

    assert first.status == 202
    assert "Idempotent-Replay" not in first.headers
    assert again.status == 200
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Location" not in again.headers
    assert again.headers["Content-Type"] == "application/json"
    assert await again.read() == await first.read()
    assert again.headers["X-Correlation-ID"] == first.headers["X-Correlation-ID"]
    assert await count(ledger) == stored
    assert either_gateway.metric("tocsin_idempotent_replays_total") == 1


@ROUTES
async def test_the_same_key_with_another_body_is_refused_and_stores_nothing(
    either_gateway: RunningGateway, ledger: Ledger, path: str, body: Any
) -> None:
    await either_gateway.post(body, path, Idempotency_Key="k")
    stored = await count(ledger)
    spaced = json.dumps(body, indent=1).encode()
    response = await either_gateway.http.post(
        path,
        data=spaced,
        headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
    )

    assert response.status == 409
    problem = await problem_of(response)
    assert problem["type"] == "/probs/idempotency-key-mismatch"
    assert await count(ledger) == stored


async def test_a_key_in_flight_is_told_to_wait(
    either_gateway: RunningGateway, dsn: str
) -> None:
    async with blocked_ledger(dsn) as blocked:
        first = asyncio.create_task(either_gateway.post(Idempotency_Key="k"))
        await blocked.somebody_waits()
        second = await either_gateway.post(Idempotency_Key="k")
    assert second.status == 409
    assert second.headers["Retry-After"] == "1"
    problem = await problem_of(second)
    assert problem["type"] == "/probs/idempotency-in-progress"
    assert (await first).status == 202
    assert (await either_gateway.post(Idempotency_Key="k")).status == 200


async def test_fifty_duplicates_at_once_are_one_notification(
    either_gateway: RunningGateway, ledger: Ledger
) -> None:
    responses = await asyncio.gather(
        *(either_gateway.post(Idempotency_Key="k") for _ in range(50))
    )
    statuses = sorted(response.status for response in responses)

    assert statuses.count(202) == 1
    assert set(statuses) <= {200, 202, 409}
    assert await count(ledger) == 1
    bodies = {await r.text() for r in responses if r.status in {200, 202}}
    assert len(bodies) == 1


async def test_duplicates_at_two_gateways_are_one_notification(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async def post(gateway: RunningGateway, key: str) -> aiohttp.ClientResponse:
        while True:
            response = await gateway.post(Idempotency_Key=key)
            if response.status != 409:
                return response

    async with (
        running_gateway(settings) as one,
        running_gateway(settings.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n}" for n in range(20)]
        responses = await asyncio.gather(
            *(post(gateway, key) for key in keys for gateway in (one, other, one))
        )
    assert [r.status for r in responses].count(202) == 20
    assert [r.status for r in responses].count(200) == 40
    assert await count(ledger) == 20
    assert len({await r.text() for r in responses}) == 20


async def test_two_gateways_with_the_same_keys_in_other_orders_do_not_deadlock(
    settings: MeshSettings, bus: Bus, ledger: Ledger, dsn: str
) -> None:
    async with (
        running_gateway(settings) as one,
        running_gateway(settings.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n:02}" for n in range(40)]
        async with blocked_ledger(dsn) as blocked:
            first = [asyncio.create_task(g.post()) for g in (one, other)]
            await blocked.somebody_waits()
            posts = [
                asyncio.create_task(gateway.post(Idempotency_Key=key))
                for gateway, ordered in ((one, keys), (other, keys[::-1]))
                for key in ordered
            ]
        responses = await asyncio.gather(*first, *posts)
        statuses = [response.status for response in responses]
        assert statuses.count(202) == 42
        assert statuses.count(200) == 40
        assert one.metric("tocsin_intake_commit_failures_total") == 0
        assert other.metric("tocsin_intake_commit_failures_total") == 0


async def test_a_key_that_has_expired_is_free(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    first = await gateway.post(Idempotency_Key="k")
    await ledger.fetch("UPDATE idempotency_key SET expires_at = now()")
    second = await gateway.post(SMS | {"content": "another"}, Idempotency_Key="k")
    again = await gateway.post(SMS | {"content": "another"}, Idempotency_Key="k")

    assert (first.status, second.status, again.status) == (202, 202, 200)
    assert await again.read() == await second.read()
    assert await count(ledger) == 2
    assert await count(ledger, "idempotency_key") == 1


async def test_a_key_is_kept_as_long_as_it_is_set_to(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with running_gateway(settings, gateway_idempotency_hours=2) as gateway:
        await gateway.post(Idempotency_Key="k")
    [row] = await ledger.fetch(
        "SELECT expires_at - created_at AS kept FROM idempotency_key"
    )
    assert abs(row["kept"].total_seconds() - 7200) < 60


async def test_a_key_belongs_to_its_route(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    single = await gateway.post(SMS, NOTIFICATIONS, Idempotency_Key="k")
    batch = await gateway.post(BATCH, BATCHES, Idempotency_Key="k")

    assert (single.status, batch.status) == (202, 202)
    assert await count(ledger) == 4


async def test_a_refused_request_leaves_its_key_free(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    refused = await gateway.post(SMS | {"content": ""}, Idempotency_Key="k")
    accepted = await gateway.post(SMS, Idempotency_Key="k")

    assert (refused.status, accepted.status) == (400, 202)


async def test_a_request_that_was_not_committed_leaves_its_key_free(
    gateway: RunningGateway, dsn: str
) -> None:
    async with blocked_ledger(dsn) as blocked:
        post = asyncio.create_task(gateway.post(Idempotency_Key="k"))
        await blocked.somebody_waits()
        await blocked.break_connections()
        assert (await post).status == 503
    assert (await gateway.post(Idempotency_Key="k")).status == 202


@pytest.mark.parametrize(
    ("key", "status"),
    [("k" * 255, 202), ("k" * 256, 400), ("", 202), ("schlüssel", 202)],
)
async def test_a_key_has_at_most_255_characters(
    gateway: RunningGateway, key: str, status: int
) -> None:
    response = await gateway.post(Idempotency_Key=key)

    assert response.status == status
    if status == 202 and key:
        assert (await response.json())["idempotency_key"] == key
    if status == 400:
        assert (await problem_of(response))["type"] == "/probs/bad-request"


async def test_a_key_that_is_not_text_is_refused(gateway: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \xff\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400 ")
