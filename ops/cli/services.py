"""What the commands that run one service share: its options, and becoming that service.

An option only sets the environment variable it names: settings are read, checked and
explained by the service itself. So a default is told here and kept there, and a test
compares the two.
"""

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def setting(
    flag: str,
    variable: str,
    metavar: str,
    help_: str,
    default: object = None,
    type_: click.ParamType[Any] | type[str] = str,
) -> Callable[[_Command], _Command]:
    """Make an option for one environment variable; absent, the service's default holds."""
    told = "" if default is None else f"  [default: {default}]"
    return click.option(
        flag,
        envvar=variable,
        show_envvar=True,
        metavar=metavar,
        type=type_,
        help=f"{help_}{told}",
    )


def choice(
    flag: str, variable: str, among: tuple[str, ...], help_: str, default: str
) -> Callable[[_Command], _Command]:
    """Make an option that is one of a few words."""
    return click.option(
        flag,
        envvar=variable,
        show_envvar=True,
        type=click.Choice(among),
        help=f"{help_}  [default: {default}]",
    )


_SHARED: tuple[Callable[[Any], Any], ...] = (
    setting(
        "--postgres-dsn",
        "TOCSIN_POSTGRES_DSN",
        "DSN",
        "The ledger, as in postgresql://tocsin:secret@127.0.0.1:5432/tocsin. Needed.",
    ),
    setting(
        "--nats-url",
        "TOCSIN_NATS_URL",
        "URL",
        "The bus, as in nats://127.0.0.1:4222; servers of a cluster with commas. Needed.",
    ),
    setting(
        "--redis-url",
        "TOCSIN_REDIS_URL",
        "URL",
        "What replicas share, as in redis://127.0.0.1:6379/0. Needed.",
    ),
    setting(
        "--nats-creds",
        "TOCSIN_NATS_CREDS",
        "PATH",
        "Credentials file for the bus, when it asks for one.",
        type_=click.Path(dir_okay=False, path_type=Path),
    ),
    setting(
        "--nats-replicas",
        "TOCSIN_NATS_REPLICAS",
        "N",
        "Copies of each stream in a NATS cluster; the same for every process.",
        1,
        click.IntRange(1, 5),
    ),
    setting(
        "--postgres-pool-size",
        "TOCSIN_POSTGRES_POOL_SIZE",
        "N",
        "Connections to the ledger it may hold.",
        8,
        click.IntRange(1, 200),
    ),
    setting(
        "--instance",
        "TOCSIN_INSTANCE",
        "NAME",
        "Its name among its like.  [default: made from host and pid]",
    ),
    setting(
        "--drain-seconds",
        "TOCSIN_DRAIN_SECONDS",
        "SECONDS",
        "How long it may finish what it holds once it is told to stop.",
        8.0,
        click.FloatRange(0, 300, min_open=True),
    ),
    choice(
        "--log-level",
        "TOCSIN_LOG_LEVEL",
        ("debug", "info", "warning", "error"),
        "The least important lines to write.",
        "info",
    ),
    choice(
        "--log-format",
        "TOCSIN_LOG_FORMAT",
        ("auto", "json", "pretty"),
        "auto is pretty on a terminal, JSON elsewhere.",
        "auto",
    ),
)


def shared_settings(command: _Command) -> _Command:
    """Add the options that every service has."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


def become(ctx: click.Context, module: str, arguments: Sequence[str] = ()) -> None:
    """Run a service in this process, with the given options in its environment."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if value is None or not isinstance(parameter.envvar, str):
            continue
        os.environ[parameter.envvar] = (
            str(value).lower() if isinstance(value, bool) else str(value)
        )
    sys.argv[:] = [ctx.command_path, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
