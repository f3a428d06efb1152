"""The HTTP server: one socket, HTTP/1.1 and h2c."""

import logging
import resource
import socket
from collections.abc import Awaitable, Callable

from hypercorn.asyncio import serve as serve_hypercorn
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75.0
_HEADERS_AT_MOST_BYTES = 32 << 10
_SOCKET_MESSAGE_AT_MOST_BYTES = 64 << 10


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
) -> None:
    """Serve until ``stopped`` returns, and then until requests in flight are answered.

    Past ``drain_seconds`` the rest is cut off. Takes over and closes the listener.
    """
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = _BACKLOG
    config.graceful_timeout = drain_seconds
    config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
    config.keep_alive_max_requests = 1 << 31
    config.h11_max_incomplete_size = _HEADERS_AT_MOST_BYTES
    config.websocket_max_message_size = _SOCKET_MESSAGE_AT_MOST_BYTES
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)
    await serve_hypercorn(app, config, shutdown_trigger=stopped, mode="asgi")
