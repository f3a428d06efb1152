"""Options that say where the servers are, the same for every command that asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

postgres_option = click.option(
    "--postgres-dsn",
    envvar="TOCSIN_POSTGRES_DSN",
    show_envvar=True,
    required=True,
    metavar="DSN",
    help="The ledger, as in postgresql://tocsin:secret@127.0.0.1:5432/tocsin.",
)


def nats_options(command: _Command) -> _Command:
    """Add where the bus is and who we are to it."""
    url = click.option(
        "--nats-url",
        envvar="TOCSIN_NATS_URL",
        show_envvar=True,
        required=True,
        metavar="URL",
        help="The bus, as in nats://127.0.0.1:4222; servers of a cluster with commas.",
    )
    creds = click.option(
        "--nats-creds",
        envvar="TOCSIN_NATS_CREDS",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="PATH",
        help="Credentials file for the bus, when it asks for one.",
    )
    return url(creds(command))
