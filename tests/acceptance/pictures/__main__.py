"""`python -m tests.acceptance.pictures` writes the pictures of docs/console.md again."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import click

from console.model.views import ProviderHealth, ServiceHealth, Snapshot
from console.operator import LaneTarget
from contracts.channels import Channel, Priority
from tests.acceptance.mesh import frozen
from tests.acceptance.pictures.album import NAMES, opened
from tests.acceptance.pictures.incident import Incident, prepared
from tests.waiting import until

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
#: The shares of its sends that fail while its breaker stays closed, and until it opens.
_LIMPS, _DOWN = 0.4, 0.95


@click.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=PICTURES,
    show_default=True,
    help="The folder to write to.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="How long all goes well before, which the trends show.",
)
def main(*, into: Path, seconds: float) -> None:
    """Run a mesh, break its provider of SMS, kill a dispatcher, and draw every screen."""
    asyncio.run(draw(into, seconds))
    click.echo(f"{len(NAMES)} pictures in {into}")


async def draw(into: Path, seconds: float) -> None:
    """Write every picture into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tocsin-pictures-") as name:
        folder = Path(name)
        # Postgres runs as another user when this is root's folder.
        folder.chmod(0o755)
        async with prepared(folder) as incident:
            load = asyncio.create_task(incident.load())
            try:
                await _draw(incident, into, seconds)
            finally:
                load.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await load


async def _draw(incident: Incident, into: Path, seconds: float) -> None:
    mesh = incident.mesh
    async with opened(mesh, into) as (album, operator):
        await asyncio.sleep(seconds)
        await incident.break_acme(_LIMPS)
        await operator.pause(
            LaneTarget(Channel.EMAIL, Priority.LOW), "the newsletter goes out tonight"
        )
        await asyncio.sleep(seconds / 2)
        await incident.break_acme(_DOWN)
        mesh.kill("dispatcher-2")
        await album.shows(lambda known: ProviderHealth.OPEN in _health(known).values())
        await album.shows(lambda known: known.totals.dead_letters)
        await asyncio.sleep(min(4.0, seconds / 4))
        await album.draw_trouble(await _retried(incident))
        async with frozen(mesh.child("scheduler-1")):
            await album.shows(
                lambda known: any(
                    one.health is ServiceHealth.LOST for one in known.services
                )
            )
            await album.draw_processes()


def _health(known: Snapshot) -> dict[str, ProviderHealth]:
    return {provider.name: provider.health for provider in known.providers}


async def _retried(incident: Incident) -> str:
    """Return the key of an order delivered at a second attempt, or else of the newest."""
    await until(lambda: incident.orders)
    orders = list(incident.orders.items())[::-1]
    for key, id_ in orders:
        one = await incident.mesh.get(id_)
        if one["status"] == "delivered" and one["attempts"] > 1:
            return key
    return orders[0][0]


if __name__ == "__main__":
    main()
