"""NATS with JetStream on files below the data folder."""

import json
import signal
from pathlib import Path

from ops.embedded import files, probes, wheels
from ops.embedded.child import Spec, Stage
from ops.embedded.ports import HOST


def spec(data: Path, *, port: int, monitoring_port: int) -> Spec:
    """Make the child; ready when JetStream has recovered its streams."""
    program = wheels.NATS.locate()
    config = data / "nats.conf"

    async def write_config() -> None:
        files.write_atomically(config, _config(data / "nats", port, monitoring_port))

    return Spec(
        name="nats",
        stage=Stage.SERVERS,
        argv=(str(program), "--config", str(config)),
        ready=probes.http(f"http://{HOST}:{monitoring_port}/healthz"),
        orphan_signal=signal.SIGTERM,
        ports=(port, monitoring_port),
        prepare=write_config,
    )


def _config(store: Path, port: int, monitoring_port: int) -> str:
    # sync_interval bounds what a power cut can take; a killed process loses nothing.
    return f"""\
server_name: tocsin
listen: "{HOST}:{port}"
http: "{HOST}:{monitoring_port}"
jetstream {{
  store_dir: {json.dumps(str(store))}
  sync_interval: 1s
}}
"""
