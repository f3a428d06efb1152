"""Clients that send, read or leave slowly, and bodies that are too long."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from gateway.routing import RouteName
from ops.runtime.bus import Bus
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.waiting import until

BODY = json.dumps(SMS).encode()
HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest_asyncio.fixture
async def impatient(
    settings: MeshSettings, bus: Bus, direct: frozenset[RouteName]
) -> AsyncIterator[RunningGateway]:
    async with running_gateway(
        settings,
        direct=direct,
        gateway_header_seconds=0.3,
        gateway_body_seconds=0.3,
        gateway_send_seconds=0.3,
    ) as gateway:
        yield gateway


async def left_alone(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the gateway closes the connection."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"POST /api/v1/noti", HEAD[:-2] % b"/"])
async def test_a_head_that_does_not_come_ends_the_connection(
    impatient: RunningGateway, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(sent)

    assert await left_alone(reader) == b""
    writer.close()


async def test_a_head_that_trickles_in_ends_the_connection(
    impatient: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    begun = time.monotonic()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    ended = asyncio.create_task(left_alone(reader))
    while not ended.done() and time.monotonic() - begun < 5:
        writer.write(b"X: y\r\n")
        await asyncio.wait([ended], timeout=0.05)

    assert await ended == b""
    assert time.monotonic() - begun < 2
    writer.close()


@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES])
async def test_a_body_that_trickles_in_is_refused(
    impatient: RunningGateway, path: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(HEAD % path.encode() + b"Content-Length: 1000\r\n\r\n")
    answered = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    begun = time.monotonic()
    while not answered.done() and time.monotonic() - begun < 5:
        writer.write(b" ")
        await asyncio.wait([answered], timeout=0.05)

    assert (await answered).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_connection_is_patient_between_requests(
    impatient: RunningGateway,
) -> None:
    """Keep-alive is another matter than a head that was begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    for _ in range(2):
        writer.write(
            HEAD % NOTIFICATIONS.encode()
            + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202 ")
        [length] = [
            int(line[15:])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        await reader.readexactly(length)
        idle = asyncio.create_task(reader.read(1))
        done, _ = await asyncio.wait([idle], timeout=0.5)
        assert not done
        idle.cancel()
        await asyncio.wait([idle])
    writer.close()


async def test_a_client_that_does_not_read_is_given_up(
    impatient: RunningGateway,
) -> None:
    members = [SMS | {"metadata": {"pad": "x" * 800}}] * 1_000
    batch = await impatient.post({"notifications": members}, BATCHES)
    _reader, writer = await asyncio.open_connection(
        "127.0.0.1", impatient.port, limit=1 << 10
    )
    for _ in range(40):
        path = batch.headers["Location"].encode()
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    await until(lambda: not has_connection(writer), 15)
    writer.close()


def has_connection(writer: asyncio.StreamWriter) -> bool:
    """Say whether the gateway, in this process, still holds its end."""
    ours = writer.get_extra_info("sockname")
    return any(
        connection.raddr == ours and connection.status != psutil.CONN_CLOSE_WAIT
        for connection in psutil.Process().net_connections("tcp4")
    )


async def test_a_client_that_leaves_leaves_no_socket(gateway: RunningGateway) -> None:
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n")
        writers.append(writer)
    ends = {writer.get_extra_info("sockname") for writer in writers}
    for writer in writers:
        writer.close()

    def held() -> bool:
        return any(c.raddr in ends for c in psutil.Process().net_connections("tcp4"))

    await until(lambda: not held(), 5)


async def test_an_answer_that_takes_too_long_is_given_up(
    settings: MeshSettings, bus: Bus, dsn: str
) -> None:
    async with (
        running_gateway(settings, gateway_answer_seconds=0.3) as gateway,
        blocked_ledger(dsn),
    ):
        response = await gateway.post()

    assert response.status == 503
    assert (await problem_of(response))["type"] == "/probs/dependency-unavailable"


@pytest.mark.parametrize(
    ("path", "at_most"), [(NOTIFICATIONS, 1 << 20), (BATCHES, 8 << 20)]
)
async def test_a_body_without_a_length_is_counted_as_it_comes(
    gateway: RunningGateway, path: str, at_most: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(HEAD % path.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    answered = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    sent = 0
    while not answered.done() and sent < at_most + (32 << 20):
        writer.write(chunk)
        sent += 1 << 16
        await writer.drain()

    assert (await answered).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_length_that_is_too_much_is_refused_before_a_byte_is_read(
    gateway: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        HEAD % NOTIFICATIONS.encode() + b"Content-Length: %d\r\n\r\n" % ((1 << 20) + 1)
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()
