"""A stack of small services, and `tocsin up` run over it: small_stack.py DATA [OPTION…].

DATA/diary tells what happened in which order. Options: --deaf NAME, --crash-while FILE.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ops.cli import up
from ops.embedded import ports, probes
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import EmbeddedError
from ops.embedded.folder import DataFolder
from ops.embedded.stack import Stack
from ops.embedded.supervisor import Restarts

PROGRAM = Path(__file__).with_name("small_service.py")
QUICK = Restarts(pauses_seconds=(0.05, 0.1))


def small(
    name: str, stage: Stage, diary: Path, *options: str, port: int | None = None
) -> Spec:
    if port is None:
        [port] = ports.choose(1)
    command = (sys.executable, "-I", "-S", str(PROGRAM), name, str(port), str(diary))
    return Spec(
        name=name,
        stage=stage,
        argv=(*command, *options),
        ready=probes.http(f"http://127.0.0.1:{port}/healthz/ready"),
        ports=(port,),
    )


def plan(folder: DataFolder, given: argparse.Namespace) -> Stack:
    diary = folder.path / "diary"

    def spec(name: str, stage: Stage) -> Spec:
        options: Sequence[str] = ()
        if name == given.deaf:
            options = ("--deaf",)
        if name == "worker" and given.crash_while:
            options = ("--crash-while", given.crash_while)
        return small(name, stage, diary, *options)

    return Stack(
        foundation=[spec("server", Stage.SERVERS), spec("provider", Stage.PROVIDERS)],
        services=[spec("door", Stage.DOORS), spec("worker", Stage.WORKERS)],
        addresses={
            name: f"{name} address"
            for name in ("gateway", "sandbox", "nats", "postgres", "redis")
        }
        | {"gateways": ["gateway address"]},
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--deaf")
    parser.add_argument("--crash-while")
    given = parser.parse_args()
    try:
        forced = up.run(
            given.data,
            lambda folder: plan(folder, given),
            ready_file=None,
            begun=time.monotonic(),
            restarts=QUICK,
        )
    except EmbeddedError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(130 if forced else 0)


if __name__ == "__main__":
    main()
