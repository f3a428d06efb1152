"""Many WebSocket clients that cost little beside what they measure."""

import asyncio
import os
import struct
from typing import cast
from urllib.parse import urlsplit

_HANDSHAKE = (
    "GET /api/v1/ws/notifications HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_OPENING_AT_ONCE = 100
_TEXT = 0x81
_WITHIN_SECONDS = 120.0


class Tally:
    """How many frames all clients together have had, and who waits for how many."""

    def __init__(self) -> None:
        self.frames = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    def add(self, count: int) -> None:
        """Count frames."""
        self.frames += count
        if self.frames >= self._wanted:
            self._reached.set()

    async def reach(self, wanted: int) -> None:
        """Return when so many frames have come."""
        self._wanted = wanted
        if self.frames < wanted:
            self._reached.clear()
            async with asyncio.timeout(_WITHIN_SECONDS):
                await self._reached.wait()


class Follower(asyncio.Protocol):
    """One client: counts text frames and looks into none."""

    def __init__(self, host: str, tally: Tally) -> None:
        self._host = host
        self._tally = tally
        self._unread = b""
        self._transport: asyncio.Transport | None = None
        self.opened = asyncio.get_running_loop().create_future()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_HANDSHAKE.format(host=self._host).encode())

    def data_received(self, data: bytes) -> None:
        """Count what is whole."""
        self._unread += data
        if not self.is_open:
            head, end, self._unread = self._unread.partition(b"\r\n\r\n")
            if not end:
                self._unread = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"the gateway refused a WebSocket: {head!r}")
            self.is_open = True
            self.opened.set_result(None)
        self._count()

    def connection_lost(self, _error: Exception | None) -> None:
        """Say so while opening; later the count shows it."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed while opening"))

    def subscribe(self, ids: list[str]) -> None:
        """Follow notifications."""
        assert self._transport is not None
        frames = [
            _masked(b'{"action":"subscribe","notification_id":"%b"}' % id_.encode())
            for id_ in ids
        ]
        self._transport.write(b"".join(frames))

    def close(self) -> None:
        """Leave without a goodbye."""
        assert self._transport is not None
        self._transport.abort()

    def _count(self) -> None:
        data, at, count = self._unread, 0, 0
        while len(data) >= at + 2:
            size, header = data[at + 1], 2
            if size == 126:
                if len(data) < at + 4:
                    break
                size, header = struct.unpack_from(">H", data, at + 2)[0], 4
            if len(data) < at + header + size:
                break
            count += data[at] == _TEXT
            at += header + size
        self._unread = data[at:]
        if count:
            self._tally.add(count)


def _masked(text: bytes) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    size = len(text)
    head = (
        bytes((_TEXT, 0x80 | size))
        if size < 126
        else struct.pack(">BBH", _TEXT, 0xFE, size)
    )
    return head + mask + body


async def open_followers(url: str, count: int, tally: Tally) -> list[Follower]:
    """Open so many WebSockets to a gateway."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    host, port = parts.hostname, parts.port
    loop = asyncio.get_running_loop()
    followers: list[Follower] = []
    while len(followers) < count:
        opening = [
            loop.create_connection(lambda: Follower(parts.netloc, tally), host, port)
            for _ in range(min(_OPENING_AT_ONCE, count - len(followers)))
        ]
        some = [protocol for _, protocol in await asyncio.gather(*opening)]
        await asyncio.gather(*(follower.opened for follower in some))
        followers += some
    return followers
