"""Nothing that is sent makes the gateway break, or stop serving others."""

import asyncio
import re

import pytest

from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
)
from tests.integration.gateway.malformed import BODIES, REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES], ids=["single", "batch"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_body_is_a_bad_request(
    shared_gateway: RunningGateway, name: str, path: str
) -> None:
    response = await shared_gateway.http.post(
        path, data=BODIES[name], headers={"Content-Type": "application/json"}
    )
    await response.read()

    assert response.status == 400
    await problem_of(response)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_malformed_request_is_no_error_of_ours(
    shared_gateway: RunningGateway, name: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    writer.write(REQUESTS[name])
    writer.write_eof()
    async with asyncio.timeout(5):
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
    writer.close()

    statuses = {int(status) for status in _STATUS.findall(answer)}
    # a coding that a server does not know is 501 (RFC 9112 §6.1)
    allowed = {501} if "coding" in name else set()
    assert all(status < 500 for status in statuses - allowed), answer[:200]
    assert (await shared_gateway.get("/healthz/live")).status == 200
