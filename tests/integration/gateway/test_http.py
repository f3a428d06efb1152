"""The gateway as HTTP clients of several kinds see it."""

import asyncio
import json

import aiohttp
import h2.config
import h2.connection
import h2.events
import pytest

from tests.integration.gateway.gateways import (
    NOTIFICATIONS,
    SMS,
    RunningGateway,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = json.dumps(SMS).encode()
HEAD = (
    b"POST /api/v1/notifications HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\n"
)


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    [length] = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    return int(head.split()[1]), await reader.readexactly(length)


async def test_one_connection_serves_many_requests(
    shared_gateway: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    for n in range(5):
        body = BODY if n % 2 else b"{}"
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        status, _ = await read_response(reader)
        assert status == (202 if n % 2 else 400)
    writer.close()


async def test_pipelined_requests_are_answered_in_order(
    shared_gateway: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    for n in range(5):
        writer.write(
            HEAD
            + b"X-Correlation-ID: %d\r\nContent-Length: %d\r\n\r\n%b"
            % (n, len(BODY), BODY)
        )
    for n in range(5):
        status, body = await read_response(reader)
        assert status == 202
        assert json.loads(body)["correlation_id"] == str(n)
    writer.close()


async def test_a_body_that_comes_in_pieces_is_put_together(
    shared_gateway: RunningGateway,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for byte in BODY:
        writer.write(b"1\r\n%c\r\n" % byte)
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    status, _ = await read_response(reader)
    assert status == 202
    writer.close()


async def test_a_client_that_refuses_to_be_interrupted_still_hears_the_answer(
    shared_gateway: RunningGateway,
) -> None:
    """It sends everything it has before it reads, as many clients do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    size = 3 << 20
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % size)
    for _ in range(size >> 16):
        writer.write(b"[" * (1 << 16))
        await writer.drain()
    status, body = await read_response(reader)
    assert status == 413
    assert json.loads(body)["type"] == "/probs/payload-too-large"
    writer.close()


async def test_http_2_without_tls(shared_gateway: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_gateway.port)
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(header_encoding="utf-8")
    )
    connection.initiate_connection()
    for stream in (1, 3, 5):
        connection.send_headers(
            stream,
            [
                (":method", "POST"),
                (":path", NOTIFICATIONS),
                (":scheme", "http"),
                (":authority", "x"),
                ("content-type", "application/json"),
                ("x-correlation-id", f"stream-{stream}"),
            ],
        )
        connection.send_data(stream, BODY, end_stream=True)
    writer.write(connection.data_to_send())
    answers: dict[int, dict[str, str]] = {}
    ended: set[int] = set()
    while len(ended) < 3:
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                assert event.stream_id is not None
                answers[event.stream_id] = {
                    str(name): str(value) for name, value in event.headers or ()
                }
            elif isinstance(event, h2.events.StreamEnded):
                ended.add(event.stream_id)
        writer.write(connection.data_to_send())
    for stream, headers in answers.items():
        assert headers[":status"] == "202"
        assert headers["x-correlation-id"] == f"stream-{stream}"
    writer.close()


async def test_a_websocket_nobody_serves_is_refused_with_a_problem(
    shared_gateway: RunningGateway,
) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{shared_gateway.port}/nothing")

    assert caught.value.status == 404
    headers = caught.value.headers
    assert headers is not None
    assert headers["Content-Type"] == "application/problem+json"


async def test_metrics_are_prometheus_text(shared_gateway: RunningGateway) -> None:
    await shared_gateway.post()
    response = await shared_gateway.get("/metrics")
    text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    samples = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")
    )
    accepted = 'tocsin_notifications_accepted_total{channel="sms",priority="normal"}'
    assert float(samples[accepted]) >= 1
    never = 'tocsin_notifications_accepted_total{channel="push",priority="high"}'
    assert float(samples[never]) == 0
    created = 'tocsin_requests_total{route="create_notification",status_class="2xx"}'
    assert float(samples[created]) >= 1
