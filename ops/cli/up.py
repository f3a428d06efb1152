"""`tocsin up`: options in, signals and printing here, everything else in ops.embedded."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from ops.embedded import folder as folders, stack as stacks
from ops.embedded.errors import EmbeddedError
from ops.embedded.folder import DataFolder
from ops.embedded.nats_server import SIZES
from ops.embedded.session import Session
from ops.embedded.stack import Stack
from ops.embedded.supervisor import Restarts
from ops.runtime.version import version

_FORCED = 130


def _cluster_size(nodes: int) -> int:
    if nodes not in SIZES:
        raise click.BadParameter(
            f"{nodes} is no size for a bus: give 1, or 3 that go on without one of them"
        )
    return nodes


@click.command("up")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".tocsin"),
    show_default=True,
    envvar="TOCSIN_UP_DATA",
    show_envvar=True,
    metavar="DIR",
    help="Keep the servers' data, logs and ready file here from run to run.",
)
@click.option(
    "--ephemeral",
    is_flag=True,
    envvar="TOCSIN_UP_EPHEMERAL",
    show_envvar=True,
    help="Use a temporary folder instead, removed at the end.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar="TOCSIN_UP_PORT",
    show_envvar=True,
    metavar="N",
    help="The gateway's port; 0 takes any. All other ports are chosen anew each run.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TOCSIN_UP_READY_FILE",
    show_envvar=True,
    metavar="PATH",
    help="Write addresses and pids here as JSON once everything is ready, and again"
    " when a pid changes.  [default: ready.json in the data folder]",
)
@click.option(
    "--dispatchers",
    type=click.IntRange(0, 16),
    default=1,
    show_default=True,
    envvar="TOCSIN_UP_DISPATCHERS",
    show_envvar=True,
    metavar="K",
    help="How many dispatchers to run.",
)
@click.option(
    "--gateways",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    envvar="TOCSIN_UP_GATEWAYS",
    show_envvar=True,
    metavar="K",
    help="How many gateways to run; the first has --port.",
)
@click.option(
    "--schedulers",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    envvar="TOCSIN_UP_SCHEDULERS",
    show_envvar=True,
    metavar="K",
    help="How many schedulers to run; each job is one's at a time.",
)
@click.option(
    "--nats-nodes",
    type=int,
    callback=lambda _ctx, _param, nodes: _cluster_size(nodes),
    default=1,
    show_default=True,
    envvar="TOCSIN_UP_NATS_NODES",
    show_envvar=True,
    metavar="K",
    help="How many NATS servers to run: 1, or 3 that keep every stream three times"
    " and go on when one is gone.",
)
@click.option(
    "--channel-rate",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    envvar="TOCSIN_UP_CHANNEL_RATE",
    show_envvar=True,
    metavar="N",
    help="Messages a second per channel; 0 means unlimited.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    data: Path,
    ephemeral: bool,
    port: int,
    ready_file: Path | None,
    dispatchers: int,
    gateways: int,
    schedulers: int,
    nats_nodes: int,
    channel_rate: int,
) -> None:
    """Run the whole mesh on this machine until Ctrl-C.

    Starts real NATS, Postgres and Valkey, the sandbox provider, gateways, dispatchers
    and schedulers; restarts whatever crashes; stops everything in order within 15
    seconds. A second Ctrl-C stops at once. Logs are in DIR/logs.

    Other TOCSIN_… settings in the environment reach the services.

    Exit codes: 0 stopped as asked, 1 could not start or go on, 2 wrong usage,
    130 stopped at once.
    """
    given = ctx.get_parameter_source("data") is click.core.ParameterSource.COMMANDLINE
    if ephemeral and given:
        raise click.UsageError("give either --data or --ephemeral, not both")
    size = stacks.Size(
        gateways=gateways,
        dispatchers=dispatchers,
        schedulers=schedulers,
        nats_nodes=nats_nodes,
        port=port,
        channel_rate=channel_rate,
    )
    begun = time.monotonic()
    try:
        with folders.temporary() if ephemeral else contextlib.nullcontext(data) as path:
            plan = partial(stacks.plan, size=size, inherited=os.environ)
            forced = run(path, plan, ready_file=ready_file, begun=begun)
    except EmbeddedError as error:
        raise click.ClickException(str(error)) from error
    ctx.exit(_FORCED if forced else 0)


def run(
    path: Path,
    plan: Callable[[DataFolder], Stack],
    *,
    ready_file: Path | None,
    begun: float,
    restarts: Restarts | None = None,
) -> bool:
    """Run the stack from the folder until a signal; returns whether it was forced to end."""
    with folders.opened(path) as folder:
        say(f"tocsin {version()}, data in {folder.path}")
        if folder.leftovers:
            say(f"ended what a killed run had left: {', '.join(folder.leftovers)}")
        session = Session(
            folder=folder,
            plan=partial(plan, folder),
            ready_file=(ready_file or folder.path / "ready.json").absolute(),
            say=say,
            announce=partial(announce, begun=begun, logs=folder.path / "logs"),
            restarts=restarts or Restarts(),
        )
        asyncio.run(until_signalled(session))
        say("stopped")
        return session.forced.is_set()


async def until_signalled(session: Session) -> None:
    """Run the session; the first signal stops it, the second cuts the stop short."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if session.stopping.is_set():
            session.forced.set()
        session.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # under nohup
        loop.add_signal_handler(number, stop)
    await session.run()


def announce(ready: dict[str, Any], *, begun: float, logs: Path) -> None:
    rows = {
        "gateway": " ".join(ready["gateways"]),
        "inbox": f"{ready['sandbox']}/",
        "nats": ready["nats"],
        "postgres": ready["postgres"],
        "redis": ready["redis"],
        "logs": logs,
    }
    say(f"ready in {time.monotonic() - begun:.1f} s")
    say("")
    for name, address in rows.items():
        say(f"  {name:<9} {address}")
    say("")
    say("Send one notification, then open the inbox to see it arrive:")
    say("")
    say(f"  {curl(ready['gateway'])}")
    say("")
    say("Ctrl-C stops everything; a second one at once.")


def curl(gateway: str) -> str:
    body = '{"channel":"sms","recipient":"+15555550001","content":"Hello from Tocsin"}'
    return (
        f"curl -sS {gateway}/api/v1/notifications"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )


def say(line: str) -> None:
    """Print the line; nobody reading any more must not end the mesh."""
    with contextlib.suppress(OSError):
        click.echo(line)
