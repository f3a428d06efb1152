"""`tocsin keys`: straight to the ledger, so that the first key can be made without one."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import click
import msgspec
from piccolo.table import Table

from contracts.keys import DEFAULT_TENANT, Role, is_tenant
from contracts.tables import ApiKey, LedgerEngine
from ops import client, keys
from ops.cli.gateways import Failed, running
from ops.keys import KeyEntry

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,5})([hdw])")


class Tenant(click.ParamType[str]):
    """The name of a tenant."""

    name = "tenant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it, or fail with how one is written."""
        if not is_tenant(value):
            self.fail("a tenant is named with letters, digits, - and _", param, ctx)
        return str(value)


class Expiry(click.ParamType[datetime]):
    """A moment to come, given as such or as a span from now."""

    name = "expiry"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it, or fail with how it is written."""
        now = datetime.now(UTC)
        try:
            if span := _SPAN.fullmatch(value):
                unit = _UNITS[span[2]]
                moment = now + timedelta(**{unit: int(span[1])})
            else:
                moment = client.moment(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("write it like 90d, 12h, or 2027-01-31T00:00:00Z", param, ctx)
        if moment <= now:
            self.fail("this is in the past", param, ctx)
        return moment


def ledger_option(command: _Command) -> _Command:
    """Add where the ledger is."""
    return click.option(
        "--postgres-dsn",
        envvar="TOCSIN_POSTGRES_DSN",
        show_envvar=True,
        metavar="DSN",
        callback=lambda _ctx, _param, dsn: _found(dsn),
        help="The ledger.  [default: that of the `tocsin up` that runs here]",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add output for programs."""
    return click.option(
        "--json",
        "as_json",
        envvar="TOCSIN_KEYS_JSON",
        show_envvar=True,
        is_flag=True,
        help="Print JSON.",
    )(command)


def _found(dsn: str | None) -> str:
    if found := dsn or running("postgres"):
        return found
    raise click.UsageError(
        "say where the ledger is with --postgres-dsn or TOCSIN_POSTGRES_DSN"
        " (no `tocsin up` runs from this folder)"
    )


@click.group("keys")
def command() -> None:
    """Create, list and revoke API keys.

    A gateway asks for a key when TOCSIN_GATEWAY_REQUIRE_KEYS is true. Keys belong to a
    tenant and have a role: sender (creates notifications and asks after them), reader
    (looks), operator (dead letters, lanes, limits), admin (everything). They are stored
    as hashes, straight in the ledger.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """


@command.command("create")
@click.option(
    "--name",
    envvar="TOCSIN_KEYS_NAME",
    show_envvar=True,
    required=True,
    metavar="TEXT",
    help="What the key is for, so that people know it in the list.",
)
@click.option(
    "--role",
    envvar="TOCSIN_KEYS_ROLE",
    show_envvar=True,
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.SENDER),
    show_default=True,
    help="What its owner may do.",
)
@click.option(
    "--tenant",
    envvar="TOCSIN_KEYS_TENANT",
    show_envvar=True,
    type=Tenant(),
    metavar="NAME",
    default=DEFAULT_TENANT,
    show_default=True,
    help="Whose notifications it reaches.",
)
@click.option(
    "--expires",
    envvar="TOCSIN_KEYS_EXPIRES",
    show_envvar=True,
    type=Expiry(),
    metavar="WHEN",
    help="When it stops working: 90d, 12h, or 2027-01-31T00:00:00Z.  [default: never]",
)
@ledger_option
@json_option
def create(
    *,
    name: str,
    role: str,
    tenant: str,
    expires: datetime | None,
    postgres_dsn: str,
    as_json: bool,
) -> None:
    """Make a key and print it, this once."""
    secret, entry = _run(
        postgres_dsn,
        lambda: keys.create(tenant, name, Role(role), expires_at=expires),
    )
    if as_json:
        click.echo(
            msgspec.json.encode({**msgspec.structs.asdict(entry), "key": secret})
        )
        return
    click.echo(secret)
    click.echo(
        f"key {entry.id} of tenant {tenant}, role {role}; it is shown only now",
        err=True,
    )


@command.command("list")
@click.option(
    "--tenant",
    envvar="TOCSIN_KEYS_TENANT",
    show_envvar=True,
    type=Tenant(),
    metavar="NAME",
    help="Only this tenant's.",
)
@ledger_option
@json_option
def list_(*, tenant: str | None, postgres_dsn: str, as_json: bool) -> None:
    """List keys, oldest first; never the keys themselves."""
    found = _run(postgres_dsn, lambda: keys.entries(tenant))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    header = ("id", "tenant", "role", "name", "created", "last used", "state")
    for line in _table([header, *(_row(key) for key in found)]):
        click.echo(line)


@command.command("revoke")
@click.argument("key_id", metavar="ID", type=click.UUID)
@ledger_option
def revoke(*, key_id: UUID, postgres_dsn: str) -> None:
    """Stop a key from working, for good.

    Gateways remember keys for a few seconds, so it may be honoured that much longer.
    """
    revoked, entry = _run(postgres_dsn, lambda: _revoke(key_id))
    if entry is None:
        raise Failed(f"there is no key {key_id}")
    verb = "revoked" if revoked else "already revoked:"
    click.echo(f"{verb} {entry.name} of tenant {entry.tenant}")


async def _revoke(key_id: UUID) -> tuple[bool, KeyEntry | None]:
    revoked = await keys.revoke(key_id)
    found = [entry for entry in await keys.entries() if entry.id == key_id]
    return revoked, found[0] if found else None


def _run(dsn: str, query: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run a query on the ledger, or end the command with why that was not possible."""

    async def run() -> _Result:
        table: type[Table] = ApiKey
        table._meta.db = LedgerEngine(dsn)  # noqa: SLF001 (Piccolo offers no public way to bind an engine)
        return await query()

    try:
        return asyncio.run(run())
    except asyncpg.UndefinedTableError as error:
        raise Failed("the ledger has no keys yet: run `tocsin migrate`") from error
    except (OSError, ValueError, asyncpg.PostgresError) as error:
        raise Failed(f"the ledger cannot be used: {error}") from error


def _row(key: KeyEntry) -> tuple[str, ...]:
    return (
        str(key.id),
        key.tenant,
        key.role,
        key.name,
        _day(key.created_at),
        _day(key.last_used_at),
        _state(key),
    )


def _state(key: KeyEntry) -> str:
    if key.revoked_at:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "works"
    verb = "expired" if key.expires_at <= datetime.now(UTC) else "works until"
    return f"{verb} {_day(key.expires_at)}"


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _table(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
