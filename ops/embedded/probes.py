"""Readiness questions, asked over plain sockets so that asking stays cheap.

A probe answers True or False, or raises OSError or TimeoutError, which mean not yet.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from urllib.parse import urlsplit

from ops.embedded.ports import HOST

Probe = Callable[[], Coroutine[None, None, bool]]


async def exchange(host: str, port: int, request: bytes) -> bytes:
    """Send the request and return the first line of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def http(url: str) -> Probe:
    """Ready when a GET of the URL is answered with 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or HOST, parts.port or 80
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"

    async def ask() -> bool:
        status = await exchange(host, port, request.encode())
        return status.split()[1:2] == [b"200"]

    return ask


def valkey(port: int) -> Probe:
    """Ready when PING is answered with PONG, so not while data is loading."""

    async def ask() -> bool:
        return await exchange(HOST, port, b"PING\r\n") == b"+PONG\r\n"

    return ask
