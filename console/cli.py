"""The command line of the console: the terminal application and its plain twins.

Exit codes: 0 done, 1 the bus cannot be reached, 2 wrong usage or no mesh to watch.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
import uvloop

from console import discovery, plain
from console.app import ConsoleApp
from console.events import AnyEvent, StatusReported
from console.model.views import Snapshot
from console.place import Place
from console.sentences import trouble_of
from console.source import Source
from console.source.bus import BusSource
from console.source.recorded import (
    RecordedSource,
    Recording,
    RecordingBroken,
    RecordingSource,
)
from console.themes import THEMES


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which mesh the command line names."""

    url: str | None
    creds: Path | None
    environment: str | None

    def find(self) -> tuple[Source, Place]:
        """Return its source and what to call it; ends the program when there is none."""
        try:
            address, place = discovery.find(
                self.url, self.creds, self.environment, Path.cwd()
            )
        except discovery.NoMesh as error:
            _end(str(error), code=2)
        return BusSource(address), place


def _end(sentence: str, code: int) -> NoReturn:
    click.echo(f"tocsin console: {sentence}", err=True)
    sys.exit(code)


@click.group(invoke_without_command=True, context_settings={"max_content_width": 100})
@click.option(
    "--nats-url",
    envvar="TOCSIN_NATS_URL",
    show_envvar=True,
    help="The bus to watch. Without it, that of a mesh `tocsin up` runs in this folder.",
)
@click.option(
    "--nats-creds",
    envvar="TOCSIN_NATS_CREDS",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Credentials file for the bus, when it asks for one.",
)
@click.option(
    "--environment",
    envvar="TOCSIN_CONSOLE_ENVIRONMENT",
    show_envvar=True,
    help="What to call this mesh; a name with 'prod' in it gets a red edge.",
)
@click.option(
    "--theme",
    envvar="TOCSIN_CONSOLE_THEME",
    show_envvar=True,
    type=click.Choice(list(THEMES)),
    help="Colours for a dark or a light terminal (default: dark, or TEXTUAL_THEME).",
)
@click.option(
    "--ascii",
    "ascii_only",
    envvar="TOCSIN_CONSOLE_ASCII",
    show_envvar=True,
    is_flag=True,
    help="Draw with plain ASCII only.",
)
@click.option(
    "--record",
    envvar="TOCSIN_CONSOLE_RECORD",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything heard to this file while watching.",
)
@click.option(
    "--replay",
    envvar="TOCSIN_CONSOLE_REPLAY",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Watch a recording instead of a mesh.",
)
@click.option(
    "--speed",
    envvar="TOCSIN_CONSOLE_SPEED",
    show_envvar=True,
    type=click.FloatRange(0.1, 100),
    default=1.0,
    show_default=True,
    help="How fast to replay.",
)
@click.pass_context
def main(
    context: click.Context,
    nats_url: str | None,
    nats_creds: Path | None,
    environment: str | None,
    theme: str | None,
    ascii_only: bool,
    record: Path | None,
    replay: Path | None,
    speed: float,
) -> None:
    """Watch the mesh in this terminal. Reads only; ? shows the keys.

    The commands print the same as plain text or JSON.
    """
    target = Target(url=nats_url, creds=nats_creds, environment=environment)
    context.obj = target
    if context.invoked_subcommand is not None:
        return
    look: dict[str, Any] = {"ascii_only": ascii_only}
    if theme is not None:
        look["theme"] = THEMES[theme].name
    if replay is not None:
        _replay(replay, speed, look)
    else:
        _watch(target, record, look)


def _watch(target: Target, record: Path | None, look: dict[str, Any]) -> None:
    source, place = target.find()
    with ExitStack() as stack:
        if record is not None:
            try:
                file = stack.enter_context(record.open("ab", buffering=0))
            except OSError as error:
                _end(f"cannot record to {record}: {error.strerror}", code=2)
            recorder = RecordingSource(source, file)
            source = recorder
            look["recording"] = lambda: (
                f"recording failed: {recorder.failure}" if recorder.failure else "rec"
            )
        _run(ConsoleApp(source, place, **look))


def _replay(path: Path, speed: float, look: dict[str, Any]) -> None:
    try:
        recording = Recording(path)
    except (OSError, RecordingBroken) as error:
        _end(f"cannot replay: {error}", code=2)
    source = RecordedSource(recording, speed=speed)
    place = Place(name=path.name, replayed=True)
    _run(ConsoleApp(source, place, clock=source.clock, **look))


def _run(app: ConsoleApp) -> None:
    uvloop.run(app.run_async())
    sys.exit(app.return_code or 0)


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


@main.command()
@_json_option
@_watch_option
@click.pass_obj
def lanes(target: Target, as_json: bool, watch: bool) -> None:
    """Print the lanes: what waits, how fast it goes, what fails."""
    _print(target, plain.lanes_json if as_json else plain.lanes_text, watch, as_json)


@main.command()
@_json_option
@_watch_option
@click.pass_obj
def services(target: Target, as_json: bool, watch: bool) -> None:
    """Print the processes of the mesh and how they are."""
    _print(
        target, plain.services_json if as_json else plain.services_text, watch, as_json
    )


@main.command()
@_json_option
@click.pass_obj
def feed(target: Target, as_json: bool) -> None:
    """Print every status change as it happens, until stopped."""
    _end_well(_print_changes(target, as_json))


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


async def _print_changes(target: Target, as_json: bool) -> None:
    source, _ = target.find()
    write = plain.change_json if as_json else plain.change_text
    async with plain.Watch(source) as watching:

        def show(event: AnyEvent) -> None:
            if isinstance(event, StatusReported):
                click.echo(write(event.change))

        watching.on_event = show
        await watching.connected()
        await asyncio.Event().wait()


def _end_well(command: Coroutine[Any, Any, None]) -> None:
    try:
        uvloop.run(command)
    except plain.Unreachable as error:
        _end(f"the bus cannot be reached: {error}", code=1)
    except (KeyboardInterrupt, BrokenPipeError):
        return
