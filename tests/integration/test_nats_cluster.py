"""Three nodes that are one bus: every stream on each, and nobody deaf after an election."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import nats.errors
import pytest

from contracts import controls
from contracts.channels import Channel, Priority
from contracts.controls import Pause
from contracts.topology import CONSUMERS, CONTROLS, STREAMS
from ops.embedded import folder as folders, foundation
from ops.embedded.child import Child
from ops.embedded.errors import FolderUnusable
from ops.embedded.foundation import all_or_none
from ops.runtime import topology
from ops.runtime.bus import Bus, open_bus
from ops.runtime.controls import clear_control, set_control
from tests.integration.conftest import mesh_settings
from tests.integration.test_controls import listening
from tests.servers import Stack
from tests.waiting import until

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SMS = controls.pause_key(Channel.SMS)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    urls: dict[str, str]
    monitoring_url: str
    nodes: dict[str, Child]

    @property
    def url(self) -> str:
        return ",".join(self.urls.values())


@asynccontextmanager
async def cluster(data: Path) -> AsyncIterator[Cluster]:
    """Run three nodes from the folder, as ``tocsin up --nats-nodes 3`` does."""
    with folders.opened(data) as folder:
        planned = foundation.plan(folder, nats_nodes=3)
        urls = {node.name: node.url for node in planned.nats_nodes}
        nodes = {
            spec.name: folder.child(spec) for spec in planned.specs if spec.name in urls
        }
        async with AsyncExitStack() as stack:
            for node in nodes.values():
                stack.push_async_callback(node.stop)
            await all_or_none(node.start() for node in nodes.values())
            yield Cluster(
                urls=urls,
                monitoring_url=planned.addresses.nats_monitoring_url,
                nodes=nodes,
            )


@asynccontextmanager
async def connected(url: str, servers: Stack) -> AsyncIterator[Bus]:
    settings = mesh_settings(servers.postgres_dsn, url, servers.redis_url)
    lost: list[str] = []
    async with open_bus(settings, "test", lost.append) as bus:
        await bus.connected.wait()
        yield bus
    assert lost == []


async def shape(bus: Bus) -> bool:
    """Say whether the bus has its streams; the first leaders may still be elected."""
    try:
        await topology.ensure(bus.js, replicas=3)
    except nats.errors.Error:
        return False
    return True


async def test_every_stream_consumer_and_bucket_is_on_three_nodes(
    tmp_path: Path, servers: Stack
) -> None:
    async with cluster(tmp_path) as running, connected(running.url, servers) as bus:
        await until(lambda: shape(bus), 30)

        for stream in STREAMS:
            info = await bus.js.stream_info(stream.name)
            assert info.config.num_replicas == 3, stream.name
            assert info.cluster is not None
            assert len(info.cluster.replicas or []) == 2, stream.name
        for consumer in CONSUMERS:
            about = await bus.js.consumer_info(consumer.stream, consumer.name)
            assert about.cluster is not None
            assert len(about.cluster.replicas or []) == 2, consumer.name
        assert await topology.ensure(bus.js, replicas=3) == []


async def test_three_nodes_write_each_message_to_the_disk(tmp_path: Path) -> None:
    """What a power failure may take follows from this setting."""
    async with (
        cluster(tmp_path) as running,
        aiohttp.ClientSession(running.monitoring_url) as http,
        http.get("/jsz") as response,
    ):
        config = (await response.json())["config"]

    assert config["sync_always"]


async def test_controls_are_heard_after_the_node_that_told_them_is_killed(
    tmp_path: Path, servers: Stack
) -> None:
    """A service that is connected to another node does not notice, and is told all the same."""
    async with cluster(tmp_path) as running:
        ours, *_ = running.nodes
        async with connected(running.urls[ours], servers) as bus:
            await until(lambda: shape(bus), 30)
            while True:
                async with listening(bus) as heard:
                    await set_control(bus, SMS, Pause(by="me", at=NOW))
                    await until(lambda: heard.paused(Channel.SMS) == set(Priority))
                    teller = await node_that_tells(bus)
                    if teller == ours:
                        continue  # listening anew may choose another
                    await running.nodes[teller].crash()
                    await until(lambda: is_cleared(bus), 30)
                    await until(lambda: heard.paused(Channel.SMS) == set(), 20)
                    break


async def node_that_tells(bus: Bus) -> str:
    """Return where the consumer of the last one who began to listen to controls lives."""
    consumers = await bus.js.consumers_info(CONTROLS.name)
    consumer = max(consumers, key=lambda one: str(one.created))
    assert consumer.cluster is not None
    return str(consumer.cluster.leader)


async def is_cleared(bus: Bus) -> bool:
    try:
        await clear_control(bus, SMS)
    except nats.errors.Error:
        return False
    return True


@pytest.mark.parametrize(("had", "wanted"), [("nats-1", 1), ("nats", 3)])
def test_the_streams_of_another_number_of_nodes_are_not_touched(
    tmp_path: Path, had: str, wanted: int
) -> None:
    (tmp_path / had).mkdir()
    with (
        folders.opened(tmp_path) as folder,
        pytest.raises(FolderUnusable, match="--nats-nodes"),
    ):
        foundation.plan(folder, nats_nodes=wanted)
