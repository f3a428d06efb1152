"""``tocsin up --nats-nodes 3`` as its user meets it: start, stop, start again on its data."""

import asyncio
import signal
import sys
from pathlib import Path

import nats
import pytest

from contracts import topology
from contracts.settings import nats_servers
from tests.acceptance.mesh import Mesh, running_mesh

pytestmark = pytest.mark.timeout(180)

THREE = ("--nats-nodes", "3")


async def events_on_three_nodes(mesh: Mesh) -> int:
    """Return how many status events the bus keeps, on how many nodes it must."""
    client = await nats.connect(nats_servers(mesh.addresses["nats"]))
    try:
        info = await client.jetstream().stream_info(topology.STATUS.name)
    finally:
        await client.close()
    assert info.config.num_replicas == 3
    assert info.cluster is not None
    assert len(info.cluster.replicas or []) == 2
    return info.state.messages


async def test_three_nodes_stop_together_and_start_again_on_their_data(
    tmp_path: Path,
) -> None:
    async with running_mesh(tmp_path, *THREE) as mesh:
        assert {"nats-1", "nats-2", "nats-3"} <= mesh.addresses["pids"].keys()
        assert len(nats_servers(mesh.addresses["nats"])) == 3
        notification_id = await mesh.create()
        await mesh.status_is(notification_id, "delivered", within=10)
        events = await events_on_three_nodes(mesh)
        assert events >= 3

        assert await mesh.stop(signal.SIGINT) == 0

    async with running_mesh(tmp_path, *THREE) as mesh:
        assert await events_on_three_nodes(mesh) >= events
        assert (await mesh.get(notification_id))["status"] == "delivered"
        await mesh.status_is(await mesh.create(), "delivered", within=10)

    alone = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", "up", "--port", "0"),
        *("--data", str(tmp_path / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, words = await asyncio.wait_for(alone.communicate(), 30)
    assert alone.returncode == 1
    assert b"say --nats-nodes 3" in words
    assert b"Traceback" not in words
