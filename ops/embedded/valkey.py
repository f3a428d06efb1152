"""Valkey as a cache: pacing buckets and recent idempotency keys, nothing that must last."""

import signal
from pathlib import Path

from ops.embedded import probes, wheels
from ops.embedded.child import Spec, Stage
from ops.embedded.ports import HOST


def spec(data: Path, *, port: int) -> Spec:
    program = wheels.VALKEY.locate()
    folder = data / "valkey"
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
    }

    async def make_folder() -> None:
        folder.mkdir(exist_ok=True)

    options = [part for key, value in settings.items() for part in (f"--{key}", value)]
    return Spec(
        name="redis",
        stage=Stage.SERVERS,
        argv=(str(program), *options),
        ready=probes.valkey(port),
        orphan_signal=signal.SIGTERM,
        ports=(port,),
        prepare=make_folder,
    )
