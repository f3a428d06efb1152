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

PORT_TRIES = 3


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
        try:
            yield running
        finally:
            await _stop([running.postgres, running.nats, running.redis])


async def _start(folder: DataFolder, fsync: bool) -> Servers:
    tries_left = PORT_TRIES
    while True:
        addresses, specs = plan(folder, fsync=fsync)
        children = {spec.name: folder.child(spec) for spec in specs}
        try:
            await all_or_none(child.start() for child in children.values())
        except BaseException as error:
            await _stop(children.values())
            tries_left -= 1
            if not isinstance(error, PortLost) or not tries_left:
                raise
        else:
            return Servers(
                **vars(addresses),
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
