"""The HTTP server: one socket, HTTP/1.1 and h2c."""

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ASGIFramework
from hypercorn.utils import wrap_app

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75.0
_HEADERS_AT_MOST_BYTES = 32 << 10
_SOCKET_MESSAGE_AT_MOST_BYTES = 64 << 10
_READ_AT_MOST_BYTES = 1 << 16
#: Past this a transport makes its writers wait (asyncio's own mark).
_BUFFERED_AT_MOST_BYTES = 1 << 16


class Waits(NamedTuple):
    """How long the server waits for a client."""

    #: For a whole request head, from the connection or its first byte.
    header_seconds: float
    #: For room to send into.
    send_seconds: float


def raise_file_limit() -> int:
    """Let this process open as many files as it may, and return how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; ``OSError`` when the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def serve(
    app: ASGIFramework,
    listener: socket.socket,
    stopped: Callable[[], Awaitable[None]],
    drain_seconds: float,
    waits: Waits,
) -> None:
    """Serve until ``stopped`` returns, and then until requests in flight are answered.

    Past ``drain_seconds`` the rest is cut off. Takes over and closes the listener.
    """
    config = _config()
    loop = asyncio.get_running_loop()
    context = WorkerContext(None)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    connections: set[asyncio.Task[Any]] = set()

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        await _Connection(waits, wrapped, loop, config, context, {}, reader, writer)

    server = await asyncio.start_server(connected, sock=listener, backlog=_BACKLOG)
    try:
        await stopped()
    finally:
        await context.terminated.set()
        server.close()
        if connections:
            _, late = await asyncio.wait(connections, timeout=drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Config(Config):
    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Return what every response carries, those that Hypercorn makes itself included."""
        return [*super().response_headers(protocol), *_SECURITY_HEADERS]


_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


def _config() -> Config:
    config = _Config()
    config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
    config.keep_alive_max_requests = 1 << 31
    config.h11_max_incomplete_size = _HEADERS_AT_MOST_BYTES
    config.websocket_max_message_size = _SOCKET_MESSAGE_AT_MOST_BYTES
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)
    return config


class _Connection(TCPServer):
    """One connection, which gives up on clients that send or read too slowly.

    Hypercorn closes a connection that is idle for long; but one that trickles in a head,
    or never reads its answer, would hold what it holds for as long as it likes. And it
    keeps the socket of a client that has left until it would have been idle for long.
    """

    def __init__(self, waits: Waits, *args: Any) -> None:
        super().__init__(*args)
        self._waits = waits
        self._head_is_due: asyncio.TimerHandle | None = None
        self._is_idle = True
        self._is_left = False

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        self._expect_a_head()
        try:
            await super().run()
        finally:
            self._stop_expecting()

    async def protocol_send(self, event: Event) -> None:
        """Send, and note when a request's head has come in whole."""
        if isinstance(event, RawData) and not self._fits(event.data):
            try:
                async with asyncio.timeout(self._waits.send_seconds):
                    await super().protocol_send(event)
            except TimeoutError:
                self.writer.transport.abort()
            return
        if isinstance(event, Updated):
            self._is_idle = event.idle
            if not event.idle:
                self._stop_expecting()
            elif self._is_left:
                return  # nothing will come: there is no next request to wait for
        await super().protocol_send(event)

    def _fits(self, data: bytes) -> bool:
        """Say whether the transport takes the data without waiting for the client."""
        waiting = self.writer.transport.get_write_buffer_size()
        return waiting + len(data) < _BUFFERED_AT_MOST_BYTES

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(_READ_AT_MOST_BYTES)
            except (OSError, TimeoutError):
                break
            if self._is_idle and data:
                self._expect_a_head()
            await self.protocol.handle(RawData(data))
        self._is_left = True
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    def _expect_a_head(self) -> None:
        if self._head_is_due is None:
            self._head_is_due = self.loop.call_later(
                self._waits.header_seconds, self._give_up
            )

    def _stop_expecting(self) -> None:
        if self._head_is_due is not None:
            self._head_is_due.cancel()
            self._head_is_due = None

    def _give_up(self) -> None:
        """Cut the connection; one of HTTP/2 is idle between streams and may ping."""
        self._head_is_due = None
        if isinstance(self.protocol.protocol, H11Protocol):
            self.writer.transport.abort()
