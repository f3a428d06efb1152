"""The plain twins of the screens on the command line: one table, or one JSON document a line."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, Protocol

import click
import msgspec
import uvloop

from console import plain, readings
from console.events import AnyEvent, StatusReported
from console.filters import Fields, Filter, FilterUnclear
from console.model.feed import line_of
from console.model.views import Snapshot
from console.place import Place
from console.sentences import trouble_of
from console.source import Source


class Target(Protocol):
    """Which mesh the command line names."""

    def find(self) -> tuple[Source, Place]:
        """Return its source and what to call it; ends the program when there is none."""


def end(sentence: str, code: int) -> NoReturn:
    """Say why the program ends, and end it."""
    click.echo(f"tocsin console: {sentence}", err=True)
    sys.exit(code)


_json_option = click.option(
    "--json",
    "as_json",
    envvar="TOCSIN_CONSOLE_JSON",
    show_envvar=True,
    is_flag=True,
    help="Print JSON, one document a line.",
)
_watch_option = click.option(
    "--watch",
    envvar="TOCSIN_CONSOLE_WATCH",
    show_envvar=True,
    is_flag=True,
    help="Print again every second until stopped.",
)
_where_option = click.option(
    "--where",
    envvar="TOCSIN_CONSOLE_WHERE",
    show_envvar=True,
    default="",
    metavar="FILTER",
    help="Only what matches, as on the screen: words, field:value, !not.",
)


@click.command()
@_where_option
@_json_option
@_watch_option
@click.pass_obj
def lanes(target: Target, where: str, as_json: bool, watch: bool) -> None:
    """Print the lanes: what waits, how fast it goes, what fails."""
    write = plain.lanes_json if as_json else plain.lanes_text
    narrowed = _narrowed(where, lanes=readings.LANE_FIELDS)
    _print(target, lambda snapshot: write(narrowed(snapshot)), watch, as_json)


@click.command()
@_where_option
@_json_option
@_watch_option
@click.pass_obj
def providers(target: Target, where: str, as_json: bool, watch: bool) -> None:
    """Print the providers: breakers, shares, latency, failures."""
    write = plain.providers_json if as_json else plain.providers_text
    narrowed = _narrowed(where, providers=readings.PROVIDER_FIELDS)
    _print(target, lambda snapshot: write(narrowed(snapshot)), watch, as_json)


@click.command()
@_where_option
@_json_option
@_watch_option
@click.pass_obj
def services(target: Target, where: str, as_json: bool, watch: bool) -> None:
    """Print the processes of the mesh and how they are."""
    write = plain.services_json if as_json else plain.services_text
    narrowed = _narrowed(where, services=readings.SERVICE_FIELDS)
    _print(target, lambda snapshot: write(narrowed(snapshot)), watch, as_json)


@click.command()
@_where_option
@_json_option
@_watch_option
@click.pass_obj
def schedule(target: Target, where: str, as_json: bool, watch: bool) -> None:
    """Print the scheduler's jobs, and what their runs did while this listened."""
    write = plain.schedule_json if as_json else plain.schedule_text
    fields = readings.JOB_FIELDS
    narrowed = _narrowed(where, jobs=fields, runs=fields)
    _print(target, lambda snapshot: write(narrowed(snapshot)), watch, as_json)


@click.command()
@_where_option
@_json_option
@click.pass_obj
def feed(target: Target, where: str, as_json: bool) -> None:
    """Print every status change as it happens, until stopped."""
    _end_well(_print_changes(target, _filter(where, readings.FEED_FIELDS), as_json))


COMMANDS: Sequence[click.Command] = (lanes, feed, providers, services, schedule)


def _filter(where: str, fields: Fields[Any]) -> Filter[Any]:
    try:
        return Filter(where, fields)
    except FilterUnclear as error:
        end(str(error), code=2)


def _narrowed(where: str, **fields: Fields[Any]) -> Callable[[Snapshot], Snapshot]:
    """Return what leaves of the named lists of a snapshot only the rows that match."""
    filters = {name: _filter(where, known) for name, known in fields.items()}

    def narrow(snapshot: Snapshot) -> Snapshot:
        rows = {
            name: tuple(filter(chosen.matches, getattr(snapshot, name)))
            for name, chosen in filters.items()
        }
        return msgspec.structs.replace(snapshot, **rows)

    return narrow


def _print(
    target: Target, write: Callable[[Snapshot], str], watch: bool, as_json: bool
) -> None:
    _end_well(_print_snapshots(target, write, watch, as_json))


async def _print_snapshots(
    target: Target, write: Callable[[Snapshot], str], watch: bool, as_json: bool
) -> None:
    source, _ = target.find()
    async with plain.Watch(source) as watching:
        await watching.connected()
        await asyncio.sleep(plain.SETTLE_SECONDS)
        async for snapshot in watching.snapshots():
            text = write(snapshot)
            trouble = trouble_of(snapshot.link)
            if watch and not as_json:
                click.clear()
            click.echo(text)
            if trouble and not as_json:
                click.echo(trouble, err=True)
            if not watch:
                return


async def _print_changes(target: Target, chosen: Filter[Any], as_json: bool) -> None:
    source, _ = target.find()
    write = plain.change_json if as_json else plain.change_text
    async with plain.Watch(source) as watching:

        def show(event: AnyEvent) -> None:
            if isinstance(event, StatusReported) and chosen.matches(
                line_of(0, event.change)
            ):
                click.echo(write(event.change))

        watching.on_event = show
        await watching.connected()
        await asyncio.Event().wait()


def _end_well(command: Coroutine[Any, Any, None]) -> None:
    try:
        uvloop.run(command)
    except plain.Unreachable as error:
        end(f"the bus cannot be reached: {error}", code=1)
    except (KeyboardInterrupt, BrokenPipeError):
        return
