"""The three servers alone, for tests and measurements.

async with servers(folder) as s:
    s.postgres_dsn, s.nats_url, s.redis_url
    await s.nats.crash()
    await s.nats.start()
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.embedded import folder as folders, nats_server, ports, postgres, valkey
from ops.embedded.child import Child, Spec
from ops.embedded.errors import PortLost
from ops.embedded.folder import DataFolder
from ops.embedded.nats_server import Node

PORT_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Addresses:
    postgres_dsn: str
    #: Of every node, with commas.
    nats_url: str
    #: Of the first node.
    nats_monitoring_url: str
    redis_url: str


@dataclass(frozen=True, kw_only=True)
class Servers(Addresses):
    """Running servers; each child can be crashed, paused and restarted by itself."""

    postgres: Child
    nats: Child
    redis: Child


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Servers that nobody has started yet."""

    addresses: Addresses
    nats_nodes: list[Node]
    specs: list[Spec]


def plan(folder: DataFolder, *, fsync: bool = True, nats_nodes: int = 1) -> Plan:
    """Choose ports and describe the servers; starts nothing.

    Raises WheelMissing, or FolderUnusable when the folder's bus has another size.
    """
    nats_server.check_size(folder.path, nats_nodes)
    free = iter(ports.choose(2 + 3 * nats_nodes))
    nodes = [
        Node(
            name=name,
            port=next(free),
            monitoring_port=next(free),
            route_port=next(free) if nats_nodes > 1 else 0,
        )
        for name in nats_server.names(nats_nodes)
    ]
    valkey_port = next(free)
    cluster = postgres.cluster(folder, port=next(free), fsync=fsync)
    addresses = Addresses(
        postgres_dsn=cluster.dsn(),
        nats_url=",".join(node.url for node in nodes),
        nats_monitoring_url=nodes[0].monitoring_url,
        redis_url=f"redis://{ports.HOST}:{valkey_port}/0",
    )
    specs = [
        *nats_server.specs(folder.path, nodes),
        cluster.spec(),
        valkey.spec(folder.path, port=valkey_port),
    ]
    return Plan(addresses=addresses, nats_nodes=nodes, specs=specs)


@asynccontextmanager
async def servers(data: Path, *, fsync: bool = True) -> AsyncIterator[Servers]:
    """Run the three servers from the data folder, all stopped on leaving.

    `fsync=False` gives up what a power cut would take, nothing else: right for tests.
    """
    with folders.opened(data) as folder:
        running = await _start(folder, fsync)
        try:
            yield running
        finally:
            await _stop([running.postgres, running.nats, running.redis])


async def _start(folder: DataFolder, fsync: bool) -> Servers:
    tries_left = PORT_TRIES
    while True:
        planned = plan(folder, fsync=fsync)
        children = {spec.name: folder.child(spec) for spec in planned.specs}
        try:
            await all_or_none(child.start() for child in children.values())
        except BaseException as error:
            await _stop(children.values())
            tries_left -= 1
            if not isinstance(error, PortLost) or not tries_left:
                raise
        else:
            return Servers(
                **vars(planned.addresses),
                postgres=children["postgres"],
                nats=children["nats"],
                redis=children["redis"],
            )


async def _stop(children: Iterable[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def all_or_none(starts: Iterable[Coroutine[None, None, None]]) -> None:
    """Await all at once; on the first error cancel the rest, see them end and raise it."""
    tasks = [asyncio.ensure_future(start) for start in starts]
    if not tasks:
        return
    try:
        # Not gather: cancelled, it cancels them too, and a second time would cut short
        # the cleaning up that the first began.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
