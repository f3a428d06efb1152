"""`make chaos`: a long run with its seed and a table of what happened."""

import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.acceptance.chaos.faults import outages, script
from tests.acceptance.chaos.run import SERVERS, TARGETS, report, run


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
    "--outage-seconds",
    type=click.FloatRange(min=1),
    envvar="OUTAGE_SECONDS",
    show_envvar=True,
    help="Instead, freeze Redis, NATS and Postgres in turn, each for this long.",
)
def main(*, minutes: float, seed: int | None, outage_seconds: float | None) -> None:
    """Kill and freeze every process of a mesh under load, then hold it to its promises.

    Exit codes: 0 every promise was kept, 1 not; the data and logs are then kept.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="tocsin-chaos-"))
    # Postgres runs as another user when this is root's folder.
    folder.chmod(0o755)
    click.echo(f"chaos: seed {seed}, in {folder}")
    if outage_seconds is None:
        faults = script(seed, TARGETS, minutes * 60)
    else:
        faults = outages(SERVERS, outage_seconds)
    outcome = asyncio.run(run(folder, seed, faults))
    click.echo("\n".join(report(outcome)))
    if outcome.problems:
        click.echo(f"\ndata and logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
