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

from contracts import keys
from contracts.ids import new_id
from contracts.tables import ApiKey, LedgerEngine
from ops import client
from ops.cli.gateways import Failed, running

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
        if not keys.is_tenant(value):
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
    type=click.Choice([str(role) for role in keys.Role]),
    default=str(keys.Role.SENDER),
    show_default=True,
    help="What its owner may do.",
)
@click.option(
    "--tenant",
    envvar="TOCSIN_KEYS_TENANT",
    show_envvar=True,
    type=Tenant(),
    metavar="NAME",
    default=keys.DEFAULT_TENANT,
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
    secret = keys.new_key()
    key = ApiKey(
        id=new_id(),
        tenant=tenant,
        name=name,
        role=role,
        secret_hash=keys.hash_key(secret),
        created_at=datetime.now(UTC),
        expires_at=expires,
    )
    _run(postgres_dsn, lambda: ApiKey.insert(key).run())
    if as_json:
        click.echo(msgspec.json.encode({**_shown(key.to_dict()), "key": secret}))
        return
    click.echo(secret)
    click.echo(
        f"key {key.id} of tenant {tenant}, role {role}; it is shown only now", err=True
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
    """List keys, newest first; never the keys themselves."""
    query = ApiKey.select().order_by(ApiKey.id, ascending=False)
    if tenant is not None:
        query = query.where(ApiKey.tenant == tenant)
    found = [_shown(row) for row in _run(postgres_dsn, query.run)]
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
    revoked = _run(postgres_dsn, lambda: _revoke(key_id))
    if revoked is None:
        raise Failed(f"there is no key {key_id}")
    click.echo(f"revoked {revoked['name']} of tenant {revoked['tenant']}")


async def _revoke(key_id: UUID) -> dict[str, Any] | None:
    now: dict[Any, Any] = {ApiKey.revoked_at: datetime.now(UTC)}
    the_key = ApiKey.id == key_id
    await ApiKey.update(now).where(the_key, ApiKey.revoked_at.is_null()).run()
    found: dict[str, Any] | None = await ApiKey.select().where(the_key).first().run()
    return found


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


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "secret_hash"}


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(key["id"]),
        key["tenant"],
        key["role"],
        key["name"],
        _day(key["created_at"]),
        _day(key["last_used_at"]),
        _state(key),
    )


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {_day(key['revoked_at'])}"
    if not (expires := key["expires_at"]):
        return "works"
    verb = "expired" if expires <= datetime.now(UTC) else "works until"
    return f"{verb} {_day(expires)}"


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _table(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
