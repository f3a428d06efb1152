import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCH = {"notifications": [SMS] * 3}

ROUTES = pytest.mark.parametrize(
    ("path", "body"), [(NOTIFICATIONS, SMS), (BATCHES, BATCH)], ids=["single", "batch"]
)


async def post_raw(
    gateway: RunningGateway, path: str, body: bytes
) -> aiohttp.ClientResponse:
    response = await gateway.http.post(
        path,
        data=body,
        headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
    )
    await response.read()
    return response


@ROUTES
async def test_the_same_request_again_gets_the_same_answer(
    emptied_gateway: RunningGateway, path: str, body: Any
) -> None:
    replays = emptied_gateway.metric("tocsin_idempotent_replays_total")
    first = await emptied_gateway.post(body, path, Idempotency_Key="k")
    stored = await emptied_gateway.count()
    again = await emptied_gateway.post(
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
    assert await emptied_gateway.count() == stored
    assert emptied_gateway.metric("tocsin_idempotent_replays_total") == replays + 1


@ROUTES
async def test_the_same_key_with_another_body_is_refused_and_stores_nothing(
    emptied_gateway: RunningGateway, path: str, body: Any
) -> None:
    await emptied_gateway.post(body, path, Idempotency_Key="k")
    stored = await emptied_gateway.count()
    spaced = json.dumps(body, indent=1).encode()
    response = await post_raw(emptied_gateway, path, spaced)

    assert response.status == 409
    problem = await problem_of(response)
    assert problem["type"] == "/probs/idempotency-key-mismatch"
    assert await emptied_gateway.count() == stored


#: None of them would be accepted with a key of its own.
WRONG = {
    "no JSON": b"{",
    "no object": b"[]",
    "a channel that is none": b'{"channel":"fax"}',
    "no members": b'{"notifications":[]}',
    "a member that is wrong": b'{"notifications":[{"channel":"fax"}]}',
}


@ROUTES
@pytest.mark.parametrize("wrong", WRONG)
async def test_the_same_key_with_a_body_that_is_wrong_is_a_mismatch_first(
    emptied_gateway: RunningGateway, path: str, body: Any, wrong: str
) -> None:
    before = await post_raw(emptied_gateway, path, WRONG[wrong])
    first = await emptied_gateway.post(body, path, Idempotency_Key="k")
    after = await post_raw(emptied_gateway, path, WRONG[wrong])

    assert (before.status, first.status, after.status) == (400, 202, 409)
    assert (await problem_of(after))["type"] == "/probs/idempotency-key-mismatch"


async def test_a_key_that_has_expired_hides_nothing_that_is_wrong(
    emptied_gateway: RunningGateway,
) -> None:
    await emptied_gateway.post(Idempotency_Key="k")
    await emptied_gateway.ledger.fetch("UPDATE idempotency_key SET expires_at = now()")

    for body in WRONG.values():
        assert (await post_raw(emptied_gateway, NOTIFICATIONS, body)).status == 400


async def test_a_key_in_flight_is_told_to_wait(emptied_gateway: RunningGateway) -> None:
    async with blocked_ledger(emptied_gateway.dsn) as blocked:
        first = asyncio.create_task(emptied_gateway.post(Idempotency_Key="k"))
        await blocked.somebody_waits()
        second = await emptied_gateway.post(Idempotency_Key="k")
    assert second.status == 409
    assert second.headers["Retry-After"] == "1"
    problem = await problem_of(second)
    assert problem["type"] == "/probs/idempotency-in-progress"
    assert (await first).status == 202
    assert (await emptied_gateway.post(Idempotency_Key="k")).status == 200


async def test_fifty_duplicates_at_once_are_one_notification(
    emptied_gateway: RunningGateway,
) -> None:
    responses = await asyncio.gather(
        *(emptied_gateway.post(Idempotency_Key="k") for _ in range(50))
    )
    statuses = sorted(response.status for response in responses)

    assert statuses.count(202) == 1
    assert set(statuses) <= {200, 202, 409}
    assert await emptied_gateway.count() == 1
    bodies = {await r.text() for r in responses if r.status in {200, 202}}
    assert len(bodies) == 1


async def test_a_key_that_has_expired_is_free(emptied_gateway: RunningGateway) -> None:
    first = await emptied_gateway.post(Idempotency_Key="k")
    await emptied_gateway.ledger.fetch("UPDATE idempotency_key SET expires_at = now()")
    await emptied_gateway.service.redis.flushdb()
    second = await emptied_gateway.post(
        SMS | {"content": "another"}, Idempotency_Key="k"
    )
    again = await emptied_gateway.post(
        SMS | {"content": "another"}, Idempotency_Key="k"
    )

    assert (first.status, second.status, again.status) == (202, 202, 200)
    assert await again.read() == await second.read()
    assert await emptied_gateway.count() == 2
    assert await emptied_gateway.count("idempotency_key") == 1


async def test_a_key_belongs_to_its_route(emptied_gateway: RunningGateway) -> None:
    single = await emptied_gateway.post(SMS, NOTIFICATIONS, Idempotency_Key="k")
    batch = await emptied_gateway.post(BATCH, BATCHES, Idempotency_Key="k")

    assert (single.status, batch.status) == (202, 202)
    assert await emptied_gateway.count() == 4


async def test_a_refused_request_leaves_its_key_free(
    emptied_gateway: RunningGateway,
) -> None:
    refused = await emptied_gateway.post(SMS | {"content": ""}, Idempotency_Key="k")
    accepted = await emptied_gateway.post(SMS, Idempotency_Key="k")

    assert (refused.status, accepted.status) == (400, 202)


async def test_a_request_that_was_not_committed_leaves_its_key_free(
    emptied_gateway: RunningGateway,
) -> None:
    async with blocked_ledger(emptied_gateway.dsn) as blocked:
        post = asyncio.create_task(emptied_gateway.post(Idempotency_Key="k"))
        await blocked.somebody_waits()
        await blocked.break_connections()
        assert (await post).status == 503
    assert (await emptied_gateway.post(Idempotency_Key="k")).status == 202


@pytest.mark.parametrize(
    ("key", "status"),
    [("k" * 255, 202), ("k" * 256, 400), ("", 202), ("schlüssel", 202)],
)
async def test_a_key_has_at_most_255_characters(
    emptied_gateway: RunningGateway, key: str, status: int
) -> None:
    response = await emptied_gateway.post(Idempotency_Key=key)

    assert response.status == status
    if status == 202 and key:
        assert (await response.json())["idempotency_key"] == key
    if status == 400:
        assert (await problem_of(response))["type"] == "/probs/bad-request"


async def test_a_key_that_is_not_text_is_refused(
    emptied_gateway: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", emptied_gateway.port)
    writer.write(
        b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \xff\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400 ")
