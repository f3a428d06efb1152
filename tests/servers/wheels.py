"""Servers from wheels, as ``tocsin up`` runs them, without fsync."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ops import embedded
from ops.embedded import folder as folders, nats_server, ports
from tests.servers import Nats, Source, Stack


@asynccontextmanager
async def _stack(data: Path) -> AsyncIterator[Stack]:
    async with embedded.servers(data, fsync=False) as running:
        yield running


@asynccontextmanager
async def _nats(data: Path) -> AsyncIterator[Nats]:
    port, monitoring_port = ports.choose(2)
    with folders.opened(data) as folder:
        spec = nats_server.spec(folder.path, port=port, monitoring_port=monitoring_port)
        server = folder.child(spec)
        await server.start()
        try:
            yield Nats(
                url=f"nats://{ports.HOST}:{port}",
                monitoring_url=f"http://{ports.HOST}:{monitoring_port}",
                server=server,
            )
        finally:
            await server.stop()


SOURCE = Source(stack=_stack, nats=_nats)
