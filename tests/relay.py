"""A wire to a server that a test can hold, cut and speak on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Passes everything on, both ways."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._ends: list[asyncio.Task[None]] = []
        self._port = 0
        self.clients: list[asyncio.StreamWriter] = []  #: to those who connected
        self.open = asyncio.Event()  #: while it is clear, nothing is passed on
        self.open.set()

    @property
    def url(self) -> str:
        """Return the address that leads to the server over this wire."""
        user, at, _ = self._there.netloc.rpartition("@")
        return self._there._replace(netloc=f"{user}{at}127.0.0.1:{self._port}").geturl()

    async def mend(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(
            self._connect, "127.0.0.1", self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection, and take no other."""
        assert self._server is not None
        self._server.close()
        for client in self.clients:
            client.close()
        self.clients.clear()

    async def close(self) -> None:
        """Cut, and wait until nothing is left of it."""
        self.open.set()
        self.cut()
        await asyncio.gather(*self._ends)

    async def _connect(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        from_server, to_server = await asyncio.open_connection(
            self._there.hostname, self._there.port
        )
        self.clients.append(to_client)
        for source, sink in ((from_client, to_server), (from_server, to_client)):
            self._ends.append(asyncio.create_task(self._carry(source, sink)))

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                await self.open.wait()
                sink.write(data)
        sink.close()


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[Relay]:
    """Lead to a server over a wire of the test's own."""
    wire = Relay(url)
    await wire.mend()
    try:
        yield wire
    finally:
        await wire.close()
