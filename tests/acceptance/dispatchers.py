"""Dispatchers of a test's own on a running mesh: to kill as often as it likes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats

from contracts import topology
from tests.acceptance.mesh import Mesh

ROOT = Path(__file__).parents[2]

#: A lease, and the bus's wait for a sign of life: how long what was being sent at a kill rests.
SECONDS = 2


async def shorten_waits(mesh: Mesh) -> None:
    """Have the bus bring a dead dispatcher's messages again soon."""
    bus = await nats.connect(mesh.addresses["nats"])
    try:
        for consumer in topology.CONSUMERS:
            if consumer.stream == topology.NOTIFY.name:
                js = bus.jetstream()
                config = (await js.consumer_info(consumer.stream, consumer.name)).config
                await js.add_consumer(consumer.stream, config.evolve(ack_wait=SECONDS))
    finally:
        await bus.close()


class Dispatchers:
    """By name; each name is one process at a time."""

    def __init__(
        self, addresses: Mapping[str, Any], folder: Path, **environment: str
    ) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "TOCSIN_POSTGRES_DSN": addresses["postgres"],
            "TOCSIN_NATS_URL": addresses["nats"],
            "TOCSIN_REDIS_URL": addresses["redis"],
            "TOCSIN_WEBHOOK_URL": f"{addresses['sandbox']}/send",
            "TOCSIN_WEBHOOK_ALLOW_PRIVATE": "true",
            "TOCSIN_DISPATCHER_METRICS_PORT": "0",
            "TOCSIN_DISPATCHER_CHANNEL_RATE": "0",
            "TOCSIN_DISPATCHER_LEASE_SECONDS": str(SECONDS),
            **environment,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as sink:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dispatcher"],
                env={**self._environment, "TOCSIN_INSTANCE": name},
                cwd=ROOT,
                stdout=sink,
                stderr=sink,
            )

    def is_running(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def kill(self, name: str) -> None:
        """``kill -9`` one, and wait for its end."""
        self._processes[name].kill()
        self._processes[name].wait()

    def end(self) -> None:
        for name in self._processes:
            self.kill(name)


@contextmanager
def own_dispatchers(
    mesh: Mesh, folder: Path, **environment: str
) -> Iterator[Dispatchers]:
    """Lend dispatchers for a mesh that was started without; they end with the block."""
    dispatchers = Dispatchers(mesh.addresses, folder, **environment)
    try:
        yield dispatchers
    finally:
        dispatchers.end()
