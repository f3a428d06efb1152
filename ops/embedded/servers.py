"""The three servers alone, for tests and measurements.

async with servers(folder) as s:
    s.postgres_dsn, s.nats_url, s.redis_url
    await s.nats.crash()
    await s.nats.start()
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.embedded import folder as folders, nats_server, ports, postgres, valkey
from ops.embedded.child import Child, Spec
from ops.embedded.errors import PortLost
from ops.embedded.folder import DataFolder

_PORT_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Addresses:
    postgres_dsn: str
    nats_url: str
    nats_monitoring_url: str
    redis_url: str


@dataclass(frozen=True, kw_only=True)
class Servers(Addresses):
    """Running servers; each child can be crashed, paused and restarted by itself."""

    postgres: Child
    nats: Child
    redis: Child


def plan(folder: DataFolder, *, fsync: bool = True) -> tuple[Addresses, list[Spec]]:
    """Choose ports and describe the servers; raises WheelMissing, starts nothing."""
    nats_port, monitoring_port, postgres_port, valkey_port = ports.choose(4)
    cluster = postgres.cluster(folder, port=postgres_port, fsync=fsync)
    addresses = Addresses(
        postgres_dsn=cluster.dsn(),
        nats_url=f"nats://{ports.HOST}:{nats_port}",
        nats_monitoring_url=f"http://{ports.HOST}:{monitoring_port}",
        redis_url=f"redis://{ports.HOST}:{valkey_port}/0",
    )
    nats = nats_server.spec(
        folder.path, port=nats_port, monitoring_port=monitoring_port
    )
    return addresses, [
        nats,
        cluster.spec(),
        valkey.spec(folder.path, port=valkey_port),
    ]


@asynccontextmanager
async def servers(data: Path, *, fsync: bool = True) -> AsyncIterator[Servers]:
    """Run the three servers from the data folder, all stopped on leaving.

    `fsync=False` gives up what a power cut would take, nothing else: right for tests.
    """
    with folders.opened(data) as folder:
        running = await _start(folder, fsync)
        children = (running.postgres, running.nats, running.redis)
        try:
            yield running
        finally:
            await asyncio.gather(*(child.stop() for child in children))


async def _start(folder: DataFolder, fsync: bool) -> Servers:
    tries_left = _PORT_TRIES
    while True:
        addresses, specs = plan(folder, fsync=fsync)
        children = {spec.name: folder.child(spec) for spec in specs}
        try:
            await start_together(list(children.values()))
        except PortLost:
            tries_left -= 1
            if not tries_left:
                raise
        else:
            return Servers(
                **vars(addresses),
                postgres=children["postgres"],
                nats=children["nats"],
                redis=children["redis"],
            )


async def start_together(children: list[Child]) -> None:
    """Start all at once; when one fails, stop the others and raise its error."""
    starts = [asyncio.ensure_future(child.start()) for child in children]
    try:
        await asyncio.gather(*starts)
    except BaseException:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in children))
        raise
