"""The plain twins of the screens on the command line: one table, or one JSON document a line."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

import click
import msgspec
import uvloop

from console import plain, readings
from console.events import AnyEvent, StatusReported
from console.exports import each_letter
from console.filters import Fields, Filter, FilterUnclear
from console.letter_filters import read_letter_filter
from console.model.feed import line_of
from console.model.views import Snapshot
from console.operator import GatewayError, Operator
from console.place import Place
from console.sentences import trouble_of
from console.source import Source


class Reach(Protocol):
    """The mesh that the command line names, and its gateway."""

    def find(self) -> tuple[Source, Place]:
        """Return its source and what to call it; ends the program when there is none."""

    def operator(self) -> AbstractAsyncContextManager[Operator]:
        """Speak to its gateway; ends the program when nobody said where that is."""


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


def _table(
    name: str,
    summary: str,
    as_text: Callable[[Snapshot], str],
    to_json: Callable[[Snapshot], str],
    **fields: Fields[Any],
) -> click.Command:
    """Return a command that prints one table; ``fields`` are what its rows can be chosen by."""

    @click.command(name, help=summary)
    @_where_option
    @_json_option
    @_watch_option
    @click.pass_obj
    def show(reach: Reach, where: str, as_json: bool, watch: bool) -> None:
        write = to_json if as_json else as_text
        narrowed = _narrowed(where, **fields)
        _print(reach, lambda snapshot: write(narrowed(snapshot)), watch, as_json)

    return show


_TABLES = (
    _table(
        "lanes",
        "Print the lanes: what waits, how fast it goes, what fails.",
        plain.lanes_text,
        plain.lanes_json,
        lanes=readings.LANE_FIELDS,
    ),
    _table(
        "providers",
        "Print the providers: breakers, shares, latency, failures.",
        plain.providers_text,
        plain.providers_json,
        providers=readings.PROVIDER_FIELDS,
    ),
    _table(
        "services",
        "Print the processes of the mesh and how they are.",
        plain.services_text,
        plain.services_json,
        services=readings.SERVICE_FIELDS,
    ),
    _table(
        "schedule",
        "Print the scheduler's jobs, and what their runs did while this listened.",
        plain.schedule_text,
        plain.schedule_json,
        jobs=readings.JOB_FIELDS,
        runs=readings.JOB_FIELDS,
    ),
)


@click.command()
@click.option(
    "--where",
    envvar="TOCSIN_CONSOLE_WHERE",
    show_envvar=True,
    default="",
    metavar="FILTER",
    help="Only what matches, as on the screen: channel:sms class:permanent age:<2h.",
)
@click.option(
    "--letters",
    "each",
    envvar="TOCSIN_CONSOLE_LETTERS",
    show_envvar=True,
    is_flag=True,
    help="Print the letters, newest first, instead of what they died of.",
)
@_json_option
@_watch_option
@click.pass_obj
def dlq(reach: Reach, where: str, each: bool, as_json: bool, watch: bool) -> None:
    """Print the open dead letters by what they died of, as the gateway knows them."""
    try:
        read_letter_filter(where, datetime.now(UTC))
    except FilterUnclear as error:
        end(str(error), code=2)
    _end_well(_print_letters(reach, where, each, as_json, watch))


@click.command()
@_where_option
@_json_option
@click.pass_obj
def feed(reach: Reach, where: str, as_json: bool) -> None:
    """Print every status change as it happens, until stopped."""
    _end_well(_print_changes(reach, _filter(where, readings.FEED_FIELDS), as_json))


COMMANDS: Sequence[click.Command] = (*_TABLES, dlq, feed)


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
    reach: Reach, write: Callable[[Snapshot], str], watch: bool, as_json: bool
) -> None:
    _end_well(_print_snapshots(reach, write, watch, as_json))


async def _print_snapshots(
    reach: Reach, write: Callable[[Snapshot], str], watch: bool, as_json: bool
) -> None:
    source, _ = reach.find()
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


async def _print_letters(
    reach: Reach, where: str, each: bool, as_json: bool, watch: bool
) -> None:
    async with reach.operator() as operator:
        while True:
            now = datetime.now(UTC)
            which = read_letter_filter(where, now)
            if each:
                pages = [
                    letter
                    async for page in each_letter(operator, which)
                    for letter in page
                ]
                text = (plain.letters_json if as_json else plain.letters_text)(pages)
            else:
                groups = await operator.letter_groups(which)
                write = plain.groups_json if as_json else plain.groups_text
                text = write(groups, now)
            if watch and not as_json:
                click.clear()
            click.echo(text)
            if not watch:
                return
            await asyncio.sleep(1)


async def _print_changes(reach: Reach, chosen: Filter[Any], as_json: bool) -> None:
    source, _ = reach.find()
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
    except GatewayError as error:
        end(str(error), code=1)
    except (KeyboardInterrupt, BrokenPipeError):
        return
