"""What browsers are told: security headers on every answer, and who may ask from where."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from uuid import UUID

import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from gateway.routing import RouteName
from ops.runtime.bus import Bus
from tests.integration.gateway.gateways import (
    NOTIFICATIONS,
    RunningGateway,
    running_gateway,
)

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest_asyncio.fixture
async def gateway(
    settings: MeshSettings, bus: Bus, direct: frozenset[RouteName]
) -> AsyncIterator[RunningGateway]:
    async with running_gateway(
        settings, direct=direct, gateway_cors_origins=ORIGIN
    ) as gateway:
        yield gateway


def is_guarded(headers: Mapping[str, str]) -> bool:
    told = {name.lower(): value for name, value in headers.items()}
    return (
        told["x-content-type-options"] == "nosniff"
        and told["x-frame-options"] == "DENY"
        and told["referrer-policy"] == "no-referrer"
        and "server" not in told
    )


async def test_every_answer_guards_itself(gateway: RunningGateway) -> None:
    created = await gateway.post()
    answers = [
        created,
        await gateway.get(created.headers["Location"]),
        await gateway.get("/nothing"),
        await gateway.http.delete(NOTIFICATIONS),
        await gateway.http.options(NOTIFICATIONS),
        await gateway.post({}),
        await gateway.http.post(NOTIFICATIONS, data=b"x"),
        await gateway.http.post(
            NOTIFICATIONS,
            data=BytesIO(b" " * ((1 << 20) + 1)),
            headers={"Content-Type": "application/json"},
        ),
        await gateway.get("/healthz/live"),
        await gateway.get("/metrics"),
        await gateway.http.options(NOTIFICATIONS, headers=PREFLIGHT),
    ]

    assert [answer.status for answer in answers] == [
        *(202, 200, 404, 405, 405, 400, 415, 413, 200, 200, 204)
    ]
    for answer in answers:
        assert is_guarded(answer.headers)
        names = [name.lower() for name in answer.headers]
        assert len(names) == len(set(names)), "a header is sent twice"


@pytest.mark.parametrize("request_", [b"noise\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_request_is_answered_as_guarded(
    gateway: RunningGateway, request_: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request_)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()

    status, *lines = head.strip().split("\r\n")
    assert status.startswith("HTTP/1.1 400 ")
    assert is_guarded(dict(line.split(": ", 1) for line in lines))


async def test_a_named_origin_may_read_what_is_answered(
    gateway: RunningGateway,
) -> None:
    for answer in [
        await gateway.post(Origin=ORIGIN),
        await gateway.get("/nothing", Origin=ORIGIN),
    ]:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "origin" in answer.headers["Vary"].lower()
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert {"Location", "Retry-After", "RateLimit"} <= set(exposed.split(", "))
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_browser_that_asks_first_is_told_what_it_may_send(
    gateway: RunningGateway,
) -> None:
    answer = await gateway.http.options(
        NOTIFICATIONS, headers=PREFLIGHT | {"X-Correlation-ID": "page-7"}
    )
    again = await gateway.http.options(NOTIFICATIONS, headers=PREFLIGHT)

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["X-Correlation-ID"] == "page-7"
    assert UUID(again.headers["X-Correlation-ID"])
    for told in (answer, again):
        assert told.headers["RateLimit-Policy"] == '"default";q=6000;w=60'
        assert told.headers["RateLimit"] == '"default";r=6000;t=1'
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
    assert "tocsin-operator" in allowed
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://app.example.com.evil.net", "null"]
)
async def test_another_origin_may_not(gateway: RunningGateway, origin: str) -> None:
    asked = await gateway.http.options(
        NOTIFICATIONS, headers=PREFLIGHT | {"Origin": origin}
    )
    answered = await gateway.get("/healthz/live", Origin=origin)

    assert asked.status == 405
    for answer in (asked, answered):
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_no_origin_may_unless_it_is_named(
    settings: MeshSettings, bus: Bus
) -> None:
    async with running_gateway(settings) as gateway:
        asked = await gateway.http.options(NOTIFICATIONS, headers=PREFLIGHT)
        answered = await gateway.post(Origin=ORIGIN)

    assert (asked.status, answered.status) == (405, 202)
    for answer in (asked, answered):
        assert "Access-Control-Allow-Origin" not in answer.headers
