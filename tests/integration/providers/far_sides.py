"""The far side of a provider: takes what it is sent, or fails as it is told."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from aiohttp import web

RETRY_AFTER_SECONDS = 7
GARBAGE = b"\x16\x03\x01\x00 I am no protocol at all \xff\xfe\r\n\r\n"


class Mood(Enum):
    """How the far side treats what it is sent."""

    ACCEPT = auto()
    TRANSIENT = auto()
    THROTTLED = auto()
    PERMANENT = auto()
    SILENT = auto()  #: never answers
    RESET = auto()  #: ends the connection instead of answering
    GARBAGE = auto()  #: answers with what is not the protocol


@dataclass(frozen=True)
class Parcel:
    """One notification as it arrived."""

    recipient: str
    content: str
    key: str | None  #: what tells that a second one is the same, where the protocol can


class FarSide:
    """A server that speaks a provider's protocol."""

    def __init__(self) -> None:
        self.mood = Mood.ACCEPT
        self.heard = 0  #: sends that have begun
        self.parcels: list[Parcel] = []  #: sends that were accepted
        self.port = 0
        self._released = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        raise NotImplementedError

    async def start(self) -> None:
        """Listen on a free port."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        raise NotImplementedError

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Run until the block is left."""
        far_side = cls()
        await far_side.start()
        try:
            yield far_side
        finally:
            await far_side.stop()


class HttpFarSide(FarSide, ABC):
    """A far side that speaks HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[web.BaseRequest] = []
        self._runner: web.ServerRunner | None = None

    @abstractmethod
    async def read(self, request: web.BaseRequest) -> Parcel:
        """Read a send, and check that it is one."""

    @abstractmethod
    def accept(self, parcel: Parcel) -> web.Response:
        """Answer a send that is taken."""

    @abstractmethod
    def refuse(self, mood: Mood, words: str) -> web.Response:
        """Answer a send that is not."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return 0 if self._runner is None else len(self._server.connections)

    @property
    def _server(self) -> web.Server:
        assert self._runner is not None
        assert self._runner.server is not None
        return self._runner.server

    async def start(self) -> None:
        server = web.Server(self.handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, of whatever kind."""
        return await self.answer_send(request)

    async def answer_send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Treat a send according to the mood."""
        self.requests.append(request)
        parcel = await self.read(request)
        self.heard += 1
        assert request.transport is not None
        match self.mood:
            case Mood.ACCEPT:
                self.parcels.append(parcel)
                return self.accept(parcel)
            case Mood.SILENT:
                await self._released.wait()
            case Mood.RESET:
                request.transport.abort()
            case Mood.GARBAGE:
                request.transport.write(GARBAGE)
                request.transport.close()
        # Providers like to repeat what they were sent.
        words = f"cannot send '{parcel.content}' to {parcel.recipient}"
        return self.refuse(self.mood, words)
