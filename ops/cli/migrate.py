"""`tocsin migrate`: the ledger to its newest schema, the bus to its declared shape."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import backoff
import click
import nats.errors
from backoff.types import Details
from nats.aio.client import Client
from nats.js import errors as js_errors

from contracts.settings import nats_servers
from ops.cli.servers import nats_options, postgres_option
from ops.runtime import logging, topology
from ops.runtime.errors import TopologyConflict
from ops.runtime.modules import importable, python
from ops.runtime.topology import Change

_Result = TypeVar("_Result")

_CONNECT_SECONDS = 3.0
#: Long enough for a busy server to make one stream, short beside any ``--wait``.
_ANSWER_SECONDS = 5.0


class NotYet(Exception):
    """A server does not answer; it may be starting."""


@click.command("migrate")
@postgres_option
@nats_options
@click.option(
    "--replicas",
    envvar="TOCSIN_NATS_REPLICAS",
    show_envvar=True,
    type=click.IntRange(1, 5),
    default=1,
    show_default=True,
    help="Copies of each stream in a NATS cluster; the same for every process.",
)
@click.option(
    "--wait",
    "wait_seconds",
    envvar="TOCSIN_MIGRATE_WAIT",
    show_envvar=True,
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep trying this long while servers start.",
)
def command(
    postgres_dsn: str,
    nats_url: str,
    nats_creds: Path | None,
    replicas: int,
    wait_seconds: float,
) -> None:
    """Bring the ledger and the bus to what this version needs.

    Runs the migrations that have not run yet, then makes or updates streams and
    consumers. Says what it changed; running it again changes nothing, and several may
    run at once. A change that would lose data is refused.

    Exit codes: 0 done, 1 failed (one sentence says why), 2 wrong usage.
    """
    logging.configure_command()
    asyncio.run(_migrate(postgres_dsn, nats_url, nats_creds, replicas, wait_seconds))


async def _migrate(
    dsn: str, nats_url: str, creds: Path | None, replicas: int, wait_seconds: float
) -> None:
    ran = await _patiently(lambda: _migrate_ledger(dsn), wait_seconds)
    for name in ran:
        click.echo(f"ledger: ran {name}")
    if not ran:
        click.echo("ledger: up to date")
    changes = await _patiently(
        lambda: _shape_bus(nats_url, creds, replicas), wait_seconds
    )
    for change in changes:
        click.echo(f"bus: {change.action} {change.name}")
    if not changes:
        click.echo("bus: up to date")


async def _patiently(
    run: Callable[[], Awaitable[_Result]], wait_seconds: float
) -> _Result:
    """Run it again while it raises NotYet, with growing pauses, for as long as allowed."""

    def tell(details: Details) -> None:
        if details["tries"] == 1:
            error: Any = details.get("exception")
            click.echo(f"waiting: {error}", err=True)

    @backoff.on_exception(
        backoff.expo,
        NotYet,
        max_time=wait_seconds,
        factor=0.1,
        max_value=1.0,
        on_backoff=tell,
        logger=None,
    )
    async def retried() -> _Result:
        return await run()

    try:
        return await retried()
    except NotYet as error:
        raise click.ClickException(f"{error} (waited {wait_seconds:g} s)") from error


async def _migrate_ledger(dsn: str) -> list[str]:
    """Run the migrations in a process of their own: they are not for this package to import."""
    process = await asyncio.create_subprocess_exec(
        *python("migrations"),
        env=importable({**os.environ, "TOCSIN_POSTGRES_DSN": dsn}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    said = err.decode(errors="replace").strip()
    if process.returncode == os.EX_TEMPFAIL:
        raise NotYet(said)
    if process.returncode != 0:
        raise click.ClickException(said)
    return out.decode().splitlines()


async def _shape_bus(url: str, creds: Path | None, replicas: int) -> list[Change]:
    client = Client()
    complaints: list[Exception] = []

    async def remember(error: Exception) -> None:
        complaints.append(error)

    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.connect(
                nats_servers(url),
                user_credentials=None if creds is None else str(creds),
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=1,
                error_cb=remember,
            )
        return await topology.ensure(
            client.jetstream(timeout=_ANSWER_SECONDS), replicas=replicas
        )
    except TopologyConflict as error:
        raise click.ClickException(f"the bus was not changed: {error}") from error
    except (
        OSError,
        nats.errors.ConnectionClosedError,
        nats.errors.NoServersError,
        nats.errors.TimeoutError,
        js_errors.NoStreamResponseError,
        js_errors.ServiceUnavailableError,
        nats.errors.NoRespondersError,
    ) as error:
        told = complaints[-1] if complaints else error
        raise NotYet(f"the bus does not answer: {str(told) or 'timed out'}") from error
    except nats.errors.Error as error:
        raise click.ClickException(f"the bus was not changed: {error}") from error
    finally:
        await client.close()
