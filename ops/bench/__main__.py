"""``python -m ops.bench``: accept, latency and drain rates beside their floors, and what waiting costs."""

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import click
import msgspec
import uvloop

from ops.bench.figures import Figure, table
from ops.bench.mesh import BATCH
from ops.bench.runs import USUAL, Bench, Part, Plan
from ops.embedded.errors import EmbeddedError


@click.command(context_settings={"show_default": True})
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=6.0,
    envvar="TOCSIN_BENCH_SECONDS",
    show_envvar=True,
    help="How long each accept figure is measured.",
)
@click.option(
    "--drain",
    type=click.IntRange(1000, 5_000_000),
    default=20_000,
    envvar="TOCSIN_BENCH_DRAIN",
    show_envvar=True,
    help="How many queued notifications are drained (rounded to thousands).",
)
@click.option(
    "--backlog",
    type=click.IntRange(10_000, 5_000_000),
    default=1_000_000,
    envvar="TOCSIN_BENCH_BACKLOG",
    show_envvar=True,
    help="How many are queued for the part of that name (rounded to thousands).",
)
@click.option(
    "--only",
    "parts",
    type=click.Choice([str(part) for part in Part]),
    multiple=True,
    default=[str(part) for part in USUAL],
    envvar="TOCSIN_BENCH_ONLY",
    show_envvar=True,
    help="What to measure; may be given several times.",
)
@click.option(
    "--json",
    "as_json",
    envvar="TOCSIN_BENCH_JSON",
    show_envvar=True,
    is_flag=True,
    help="Print one JSON document.",
)
def main(
    seconds: float, drain: int, backlog: int, parts: tuple[str, ...], as_json: bool
) -> None:
    """Measure this machine: real NATS, Postgres and Valkey, real services, one process each.

    Every figure stands beside a floor from the same run: the same servers doing the bare
    minimum with none of our services in between. Compare ratios; absolute numbers are this
    machine's, today.
    Exit codes: 0 measured, 1 a figure misses what is promised of it (named on stderr).
    """
    plan = Plan(
        seconds=seconds,
        drain=drain // BATCH * BATCH,
        backlog=backlog // BATCH * BATCH,
    )
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        try:
            figures = uvloop.run(_measure(Path(folder), plan, [*map(Part, parts)]))
        except EmbeddedError as error:
            sys.exit(str(error))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    else:
        print(table(figures))
    misses = [f"{figure.name}: {miss}" for figure in figures for miss in figure.misses]
    if misses:
        sys.exit("\n".join(misses))


async def _measure(folder: Path, plan: Plan, parts: Collection[Part]) -> list[Figure]:
    async with Bench.opened(folder, plan) as bench:
        figures = []
        async for figure in bench.run(parts):
            print(f"measured: {figure.name}", file=sys.stderr)
            figures.append(figure)
        return figures


if __name__ == "__main__":
    main()
