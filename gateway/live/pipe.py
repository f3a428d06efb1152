"""Writes to the WebSockets of the server, below its public face.

ASGI knows no pings, no way to refuse compression and none to end a connection whose peer
does not read, and encodes a frame again for every client. These four go to the objects
behind ``send`` (Hypercorn 0.18, which the project pins), all of them here.
"""

import asyncio
import socket
from typing import cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.events import Data
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import ASGISendCallable

#: A peer that acknowledges nothing for so long is gone.
_SILENCE_MILLISECONDS = 60_000

#: A ping without a payload, as a server sends it.
PING = b"\x89\x00"


class Pipe:
    """One WebSocket of the server."""

    __slots__ = ("_send", "_stream")

    def __init__(self, send: ASGISendCallable) -> None:
        stream = getattr(send, "__self__", None)
        if not isinstance(stream, WSStream):
            raise TypeError("this is not a WebSocket of Hypercorn")
        self._send = send
        self._stream = stream

    async def accept(
        self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]
    ) -> None:
        """Accept the handshake, without compression.

        A compressor takes a quarter of a megabyte a client, and each would get frames of
        its own instead of one encoding for all.
        """
        self._stream.handshake.extensions = None
        await self._send(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}
        )
        self._notice_silence()

    async def write(self, frames: bytes) -> None:
        """Write whole frames; returns when there is room for more."""
        if self._stream.state is ASGIWebsocketState.CONNECTED:
            await self._stream.send(Data(self._stream.stream_id, frames))

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye; the connection ends when the peer has answered."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self) -> None:
        """End the connection at once, whatever is still to be written."""
        self._transport.abort()

    @property
    def _transport(self) -> asyncio.WriteTransport:
        protocol = getattr(self._stream.send, "__self__")  # noqa: B009 (a bound method)
        server = cast("TCPServer", protocol.send.__self__)
        return server.writer.transport

    def _notice_silence(self) -> None:
        connection = self._transport.get_extra_info("socket")
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if connection is not None and option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, _SILENCE_MILLISECONDS)
