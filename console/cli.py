"""The command line of the console: the terminal application and its plain twins.

Exit codes: 0 done, 1 the bus or the gateway cannot be reached or refuses, 2 wrong usage or
no mesh to watch.
"""

import getpass
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import uvloop

from console import discovery
from console.acting import Rights
from console.app import ConsoleApp
from console.operator import Operator
from console.operator.gateway import open_operator
from console.place import Place
from console.source import Source
from console.source.bus import BusSource
from console.source.recorded import (
    RecordedSource,
    Recording,
    RecordingBroken,
    RecordingSource,
)
from console.themes import THEMES
from console.twins import COMMANDS, end
from contracts.oversight import OPERATOR_AT_MOST_CHARACTERS


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
            end(str(error), code=2)
        return BusSource(address), place


@dataclass(frozen=True, kw_only=True)
class Door:
    """How to look things up and change them, and who does."""

    url: str | None
    api_key: str | None
    operator: str
    armed: bool
    destructive: bool

    def gateway(self, target: Target) -> str | None:
        """Return the gateway's address; ends the program when it is none."""
        try:
            return discovery.find_gateway(self.url, target.url, Path.cwd())
        except discovery.NoMesh as error:
            end(str(error), code=2)

    def rights(self) -> Rights:
        """Return what may be done."""
        return Rights(
            armed=self.armed,
            destructive=self.destructive,
            without="say where it is with --gateway-url or TOCSIN_GATEWAY_URL",
        )


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a plain command can reach: the mesh, and its gateway."""

    target: Target
    door: Door

    def find(self) -> tuple[Source, Place]:
        """Return the mesh's source and what to call it."""
        return self.target.find()

    def operator(self) -> AbstractAsyncContextManager[Operator]:
        """Speak to the gateway; ends the program when nobody said where it is."""
        url = self.door.gateway(self.target)
        if url is None:
            end("no gateway to ask: " + self.door.rights().without, code=2)
        return open_operator(url, self.door.api_key, self.door.operator)


def _name(
    _context: click.Context, _parameter: click.Parameter, name: str | None
) -> str:
    """Return the operator's name, the one logged in when none is given."""
    name = (name or _login()).strip()
    if not name.isprintable() or not 0 < len(name) <= OPERATOR_AT_MOST_CHARACTERS:
        raise click.BadParameter(
            f"a name has 1 to {OPERATOR_AT_MOST_CHARACTERS} printable characters"
        )
    return name


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "unnamed"


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
@click.option(
    "--rw",
    "armed",
    envvar="TOCSIN_CONSOLE_RW",
    show_envvar=True,
    is_flag=True,
    help="Let the keys that change the system work; without it the console only reads.",
)
@click.option(
    "--allow-destructive",
    "destructive",
    envvar="TOCSIN_CONSOLE_ALLOW_DESTRUCTIVE",
    show_envvar=True,
    is_flag=True,
    help="With --rw, let also be done in production what cannot be undone.",
)
@click.option(
    "--operator",
    envvar="TOCSIN_CONSOLE_OPERATOR",
    show_envvar=True,
    metavar="NAME",
    callback=_name,
    help="Who you are, for the record of what is changed.  [default: the login name]",
)
@click.option(
    "--gateway-url",
    envvar="TOCSIN_GATEWAY_URL",
    show_envvar=True,
    metavar="URL",
    help="The gateway to look up and change through. Without it, that of the mesh that"
    " `tocsin up` runs in this folder, unless another bus is named.",
)
@click.option(
    "--api-key",
    envvar="TOCSIN_API_KEY",
    show_envvar=True,
    metavar="KEY",
    help="The key to speak to the gateway, of the role operator. Prefer the variable:"
    " arguments can be seen by others on this machine.",
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
    armed: bool,
    destructive: bool,
    operator: str,
    gateway_url: str | None,
    api_key: str | None,
) -> None:
    """Watch the mesh in this terminal, and with --rw change it; ? shows the keys.

    The commands print the same as plain text or JSON.
    """
    target = Target(url=nats_url, creds=nats_creds, environment=environment)
    door = Door(
        url=gateway_url,
        api_key=api_key,
        operator=operator,
        armed=armed,
        destructive=destructive,
    )
    context.obj = Reach(target=target, door=door)
    if context.invoked_subcommand is not None:
        return
    look: dict[str, Any] = {"ascii_only": ascii_only}
    if theme is not None:
        look["theme"] = THEMES[theme].name
    if replay is not None:
        _replay(replay, speed, look)
    else:
        _watch(target, door, record, look)


def _watch(
    target: Target, door: Door, record: Path | None, look: dict[str, Any]
) -> None:
    source, place = target.find()
    gateway = door.gateway(target)
    with ExitStack() as stack:
        if record is not None:
            try:
                file = stack.enter_context(record.open("ab", buffering=0))
            except OSError as error:
                end(f"cannot record to {record}: {error.strerror}", code=2)
            recorder = RecordingSource(source, file)
            source = recorder
            look["recording"] = lambda: (
                f"recording failed: {recorder.failure}" if recorder.failure else "rec"
            )
        _need_terminal()
        _run(_acting(source, place, door, gateway, look))


@asynccontextmanager
async def open_console(
    source: Source, place: Place, door: Door, gateway: str | None, look: dict[str, Any]
) -> AsyncIterator[ConsoleApp]:
    """Make the console of a mesh, with its gateway behind it when there is one."""
    async with AsyncExitStack() as stack:
        operator = None
        if gateway is not None:
            operator = await stack.enter_async_context(
                open_operator(gateway, door.api_key, door.operator)
            )
        rights = door.rights()
        app = ConsoleApp(source, place, operator=operator, rights=rights, **look)
        stack.push_async_callback(app.leave)
        yield app


async def _acting(
    source: Source, place: Place, door: Door, gateway: str | None, look: dict[str, Any]
) -> int:
    async with open_console(source, place, door, gateway, look) as app:
        return await _shown(app)


def _replay(path: Path, speed: float, look: dict[str, Any]) -> None:
    try:
        recording = Recording(path)
    except (OSError, RecordingBroken) as error:
        end(f"cannot replay: {error}", code=2)
    source = RecordedSource(recording, speed=speed)
    place = Place(name=path.name, replayed=True)
    _need_terminal()
    _run(_shown(ConsoleApp(source, place, clock=source.clock, **look)))


def _need_terminal() -> None:
    """End the program where there is nothing to draw on; Textual draws on standard error."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        commands = ", ".join(command.name or "" for command in COMMANDS)
        end(f"this is no terminal; in scripts add one of: {commands}", code=2)


async def _shown(app: ConsoleApp) -> int:
    await app.run_async()
    return app.return_code or 0


def _run(console: Coroutine[Any, Any, int]) -> None:
    sys.exit(uvloop.run(console))


for command in COMMANDS:
    main.add_command(command)
