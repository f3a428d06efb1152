"""A load generator that costs little beside what it measures: keep-alive posts on raw sockets."""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

#: Stands in a request where its idempotency key will.
_NO_KEY = "-" * 36
_NO_KEY_BYTES = _NO_KEY.encode()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of connections got done."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]


async def post_for(
    url: str,
    bodies: Sequence[bytes],
    *,
    seconds: float,
    connections: int,
    headers: dict[str, str] | None = None,
    with_keys: bool = False,
) -> Load:
    """Post the bodies in turn, one request at a time on each connection, for some seconds.

    ``with_keys`` gives each request an ``Idempotency-Key`` of its own.
    """
    own = dict(headers or {})
    if with_keys:
        own["Idempotency-Key"] = _NO_KEY
    requests = [_request(url, body, own) for body in bodies]
    deadline = time.perf_counter() + seconds
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    begun = time.perf_counter()
    await asyncio.gather(
        *(
            _Connection(url, requests, number, latencies, statuses).run(deadline)
            for number in range(connections)
        )
    )
    elapsed = time.perf_counter() - begun
    latencies.sort()
    return Load(
        requests_per_second=len(latencies) / elapsed,
        p50_ms=_percentile(latencies, 0.50),
        p99_ms=_percentile(latencies, 0.99),
        statuses=statuses,
    )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[int((len(ordered) - 1) * share)] * 1000 if ordered else 0.0


def _request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection:
    """One keep-alive connection; answers must carry a Content-Length."""

    def __init__(
        self,
        url: str,
        requests: list[bytes],
        number: int,
        latencies: list[float],
        statuses: dict[int, int],
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._requests = requests
        self._next = number
        self._latencies = latencies
        self._statuses = statuses

    async def run(self, deadline: float) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while (sent_at := time.perf_counter()) < deadline:
            request = self._requests[self._next % len(self._requests)]
            if _NO_KEY_BYTES in request:
                request = request.replace(_NO_KEY_BYTES, str(uuid4()).encode(), 1)
            writer.write(request)
            self._next += 1
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_content_length(head))
            self._latencies.append(time.perf_counter() - sent_at)
            status = int(head[9:12])
            self._statuses[status] = self._statuses.get(status, 0) + 1
        writer.close()
        await writer.wait_closed()


def _content_length(head: bytes) -> int:
    at = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[at : head.index(b"\r\n", at)])
