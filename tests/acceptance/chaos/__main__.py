"""`make chaos`: a long run with its seed and a table of what happened."""

import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.acceptance.chaos.faults import elections, outages, script
from tests.acceptance.chaos.fullness import can_mount
from tests.acceptance.chaos.run import SERVERS, TARGETS, report, run

#: What a server that was away for long gets before the next is.
_RESTS_SECONDS = 10.0


@click.command()
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    envvar="MINUTES",
    show_envvar=True,
    help="How long to load the mesh and break its parts.",
)
@click.option(
    "--seed",
    type=int,
    envvar="SEED",
    show_envvar=True,
    help="The faults and the load; drawn and printed when not given.",
)
@click.option(
    "--outages",
    "outage_seconds",
    type=click.FloatRange(min=1),
    is_flag=False,
    flag_value=30.0,
    envvar="OUTAGES",
    show_envvar=True,
    metavar="[SECONDS]",
    help="Instead, have Redis, NATS and Postgres hang and kept down, the stream full and"
    " the disk of NATS full, one after the other, each for this long (30).",
)
@click.option(
    "--nats-nodes",
    type=click.Choice(("1", "3")),
    default="1",
    show_default=True,
    envvar="NATS_NODES",
    show_envvar=True,
    help="With 3, kill the leader of meta and of NOTIFY in turn, again and again, instead.",
)
def main(
    *, minutes: float, seed: int | None, outage_seconds: float | None, nats_nodes: str
) -> None:
    """Kill and freeze every process of a mesh under load, then hold it to its promises.

    Exit codes: 0 every promise was kept, 1 not; the data and logs are then kept.
    """
    if outage_seconds is not None and nats_nodes != "1":
        raise click.UsageError("outages are of the one node: leave out --nats-nodes")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))
    # Postgres runs as another user when this is root's folder.
    folder.chmod(0o755)
    click.echo(f"chaos: seed {seed}, in {folder}")
    if outage_seconds is not None:
        disk = can_mount(folder / "scratch")
        if not disk:
            click.echo("no file system may be mounted here: no disk will be full")
        faults = outages(SERVERS, outage_seconds, _RESTS_SECONDS, disk=disk)
    elif nats_nodes == "1":
        faults = script(seed, TARGETS, minutes * 60)
    else:
        faults = elections(seed, minutes * 60)
    outcome = asyncio.run(run(folder, seed, faults, nats_nodes=int(nats_nodes)))
    click.echo("\n".join(report(outcome)))
    if outcome.problems:
        click.echo(f"\ndata and logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
