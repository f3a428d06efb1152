"""NATS with JetStream on files below the data folder: one server, or a cluster of three."""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.embedded import files, probes, wheels
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import FolderUnusable
from ops.embedded.ports import HOST

#: A cluster decides by majority: two nodes would stand still when either is gone.
SIZES = (1, 3)


@dataclass(frozen=True, kw_only=True)
class Node:
    """One server; `name` is its child's, its folder's and its name in the cluster."""

    name: str
    port: int
    monitoring_port: int
    route_port: int

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def monitoring_url(self) -> str:
        return f"http://{HOST}:{self.monitoring_port}"


def names(size: int) -> list[str]:
    """Return the names of that many nodes; one alone is just `nats`."""
    return ["nats"] if size == 1 else [f"nats-{n}" for n in range(1, size + 1)]


def check_size(data: Path, size: int) -> None:
    """Raise FolderUnusable when the folder holds the streams of another number of nodes.

    A node that changes sides would drop what it stored: its streams belong to nobody there.
    """
    other = next(
        (n for n in SIZES if n != size and (data / names(n)[0]).exists()), None
    )
    if other is not None:
        raise FolderUnusable(
            f"the data folder {data} keeps the streams of {_told(other)}, not of"
            f" {_told(size)}; say --nats-nodes {other}, or choose another with --data"
        )


def _told(size: int) -> str:
    return "one NATS node" if size == 1 else f"{size} NATS nodes"


def specs(data: Path, nodes: Sequence[Node]) -> list[Spec]:
    """Make a child for each node of one bus."""
    if len(nodes) == 1:
        [node] = nodes
        return [_spec(data, node, _config(data, node, "tocsin", "1s"))]
    routes = [f"nats://{HOST}:{node.route_port}" for node in nodes]
    return [
        _spec(
            data,
            node,
            _config(data, node, node.name, "always") + _membership(node, routes),
        )
        for node in nodes
    ]


def spec(data: Path, *, port: int, monitoring_port: int) -> Spec:
    """Make the child of a bus of one node."""
    node = Node(name="nats", port=port, monitoring_port=monitoring_port, route_port=0)
    return specs(data, [node])[0]


def _spec(data: Path, node: Node, config: str) -> Spec:
    """Make the child; ready when JetStream has its streams, and in a cluster a leader."""
    program = wheels.NATS.locate()
    path = data / f"{node.name}.conf"

    async def write_config() -> None:
        files.write_atomically(path, config)

    routed = (node.route_port,) if node.route_port else ()
    return Spec(
        name=node.name,
        stage=Stage.SERVERS,
        argv=(str(program), "--config", str(path)),
        ready=probes.http(f"{node.monitoring_url}/healthz"),
        orphan_signal=signal.SIGTERM,
        ports=(node.port, node.monitoring_port, *routed),
        prepare=write_config,
    )


def _config(data: Path, node: Node, server_name: str, sync_interval: str) -> str:
    # sync_interval bounds what a power cut can take; a killed process loses nothing.
    return f"""\
server_name: {server_name}
listen: "{HOST}:{node.port}"
http: "{HOST}:{node.monitoring_port}"
jetstream {{
  store_dir: {json.dumps(str(data / node.name))}
  sync_interval: {sync_interval}
}}
"""


def _membership(node: Node, routes: Sequence[str]) -> str:
    return f"""\
cluster {{
  name: tocsin
  listen: "{HOST}:{node.route_port}"
  routes: {json.dumps(routes)}
}}
"""
