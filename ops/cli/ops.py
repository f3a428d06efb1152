"""`tocsin ops`: what the console shows and does, for scripts."""

import getpass
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

import click

from contracts.channels import Channel, Priority
from contracts.controls import RATE_AT_MOST, BreakerOrder
from contracts.oversight import (
    AUDIT_AT_MOST,
    FOUND_AT_MOST,
    RUNS_AT_MOST,
    Action,
    AuditEntry,
)
from ops import client, oversight
from ops.cli.gateways import Where, explained, gateway_options, run
from ops.client import Answer, Operator

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Value = TypeVar("_Value")

_LANE = tuple[Channel, Priority | None]
_LIMITED = tuple[Channel | None, str]


class LaneTarget(click.ParamType[_LANE]):
    """A channel, or one lane of it."""

    name = "lane"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _LANE:
        """Read it, or fail with how one is written."""
        channel, _, priority = str(value).partition(".")
        try:
            return Channel(channel), Priority(priority) if priority else None
        except ValueError:
            self.fail(
                f"{value!r} is no lane; one is written sms or sms.low", param, ctx
            )


class LimitTarget(click.ParamType[_LIMITED]):
    """A channel or a provider: what a limit is for."""

    name = "target"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _LIMITED:
        """Read it, or fail with how one is written."""
        kind, _, name = str(value).partition(".")
        is_channel = kind == "channel" and name in set(Channel)
        if not (is_channel or (kind == "provider" and name)):
            self.fail(
                f"{value!r} has no limit; write channel.sms or provider.NAME",
                param,
                ctx,
            )
        return Channel(name) if is_channel else None, name


def _option(flag: str, name: str, **more: Any) -> Callable[[_Command], _Command]:
    variable = f"TOCSIN_OPS_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, name, envvar=variable, show_envvar=True, **more)


def looking(command: _Command) -> _Command:
    """Add what every look at the mesh takes."""
    as_json = _option(
        "--json", "as_json", is_flag=True, help="Print what the gateway answers."
    )
    return as_json(gateway_options(command))


def changing(command: _Command) -> _Command:
    """Add what every change takes: why, and who."""
    options = (
        _option(
            "--reason",
            "reason",
            required=True,
            metavar="TEXT",
            help="Why; it is kept with who and when.",
        ),
        _option(
            "--operator",
            "operator",
            metavar="NAME",
            help="Who you are, for the record.  [default: your login name]",
        ),
        _option(
            "--key",
            "key",
            metavar="KEY",
            help="Make the change once, however often it is sent with this key.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return looking(command)


def _limit(at_most: int, default: int = 20) -> Callable[[_Command], _Command]:
    return _option(
        "--limit",
        "limit",
        type=click.IntRange(1, at_most),
        default=default,
        show_default=True,
        help="At most so many.",
    )


@click.group("ops")
def command() -> None:
    """Look at the mesh, pause and resume lanes, order breakers, set limits.

    It needs a key with the role operator or admin, of the tenant that looks after the
    mesh. Every change is on record with who and why: `tocsin ops audit` shows it.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no gateway answers.
    """


def _show(
    where: dict[str, Any],
    ask: Callable[[Operator], Awaitable[Answer[_Value]]],
    lines: Callable[[_Value], Iterable[str]],
) -> None:
    """Ask the gateway and print its answer, as it came or in lines."""
    with explained():
        answer = run(_ask(where, ask))
    if where["as_json"]:
        click.echo(answer.body)
        return
    for line in lines(answer.value):
        click.echo(line)


async def _ask(
    where: dict[str, Any], ask: Callable[[Operator], Awaitable[Answer[_Value]]]
) -> Answer[_Value]:
    gateway = Where(url=where["gateway_url"], api_key=where["api_key"])
    name = where.get("operator")
    if "reason" in where and not name:
        name = getpass.getuser()
    async with client.open_gateway(gateway.url, gateway.api_key) as opened:
        return await ask(Operator(opened, name))


def _done(entry: AuditEntry) -> Iterable[str]:
    yield oversight.entry_line(entry)


@command.command("lanes")
@looking
def lanes(**where: Any) -> None:
    """Show what every lane holds, and whether it is paused."""
    _show(where, lambda operator: operator.lanes(), oversight.lane_lines)


@command.command("breakers")
@looking
def breakers(**where: Any) -> None:
    """Show every provider and its breaker."""
    _show(where, lambda operator: operator.breakers(), oversight.provider_lines)


@command.command("limits")
@looking
def limits(**where: Any) -> None:
    """Show the limits that operators have set."""
    _show(where, lambda operator: operator.limits(), oversight.limit_lines)


@command.command("services")
@looking
def services(**where: Any) -> None:
    """Show every process with its age, lost ones included."""
    _show(where, lambda operator: operator.services(), oversight.process_lines)


@command.command("schedule")
@_option("--job", "job", metavar="NAME", help="Of this job alone.")
@_limit(RUNS_AT_MOST)
@looking
def schedule(*, job: str | None, limit: int, **where: Any) -> None:
    """Show the jobs of the schedulers, and their newest runs."""
    _show(
        where, lambda operator: operator.schedule(job, limit), oversight.schedule_lines
    )


@command.command("audit")
@_option(
    "--action", "action", type=click.Choice([*map(str, Action)]), help="Of this kind."
)
@_option("--before", "before", type=click.UUID, metavar="ID", help="Older than this.")
@_limit(AUDIT_AT_MOST)
@looking
def audit(*, action: str | None, before: UUID | None, limit: int, **where: Any) -> None:
    """Show what operators did, newest first."""
    _show(
        where,
        lambda operator: operator.audit(before=before, limit=limit, action=action),
        oversight.audit_lines,
    )


@command.command("find")
@_option("--id", "id_", type=click.UUID, metavar="ID", help="By its id.")
@_option("--idempotency-key", "idempotency_key", help="By the key it was sent with.")
@_option(
    "--recipient",
    "recipient",
    help="By whom it goes to. Prefer the variable, or the hash: arguments can be seen by"
    " others on this machine.",
)
@_option("--recipient-hash", "recipient_hash", help="By its hash, 16 hex digits.")
@_limit(FOUND_AT_MOST)
@looking
def find(
    *,
    id_: UUID | None,
    idempotency_key: str | None,
    recipient: str | None,
    recipient_hash: str | None,
    limit: int,
    **where: Any,
) -> None:
    """Look notifications up by one thing that is known of them."""
    if [id_, idempotency_key, recipient, recipient_hash].count(None) != 3:
        raise click.UsageError(
            "give one of --id, --idempotency-key, --recipient, --recipient-hash"
        )
    _show(
        where,
        lambda operator: operator.find(
            id_=id_,
            idempotency_key=idempotency_key,
            recipient=recipient,
            recipient_hash=recipient_hash,
            limit=limit,
        ),
        oversight.found_lines,
    )


@command.command("pause")
@click.argument("lane", type=LaneTarget())
@changing
def pause(*, lane: _LANE, key: str | None, **where: Any) -> None:
    """Have nothing sent from a lane (sms.low) or a channel (sms); what it holds waits."""
    why = where["reason"]
    _show(where, lambda operator: operator.pause(*lane, reason=why, key=key), _done)


@command.command("resume")
@click.argument("lane", type=LaneTarget())
@changing
def resume(*, lane: _LANE, key: str | None, **where: Any) -> None:
    """Take the pause of a lane (sms.low) or a channel (sms) back."""
    why = where["reason"]
    _show(where, lambda operator: operator.resume(*lane, reason=why, key=key), _done)


@command.command("breaker")
@click.argument("provider")
@click.argument("order", type=click.Choice([*map(str, BreakerOrder)]))
@changing
def breaker(*, provider: str, order: str, key: str | None, **where: Any) -> None:
    """Hold a provider's breaker open, probe it now, or reset it."""
    why, what = where["reason"], BreakerOrder(order)
    _show(
        where,
        lambda operator: operator.order_breaker(provider, what, reason=why, key=key),
        _done,
    )


@command.command("limit")
@click.argument("target", type=LimitTarget())
@click.argument("per_second", type=click.FloatRange(0, RATE_AT_MOST), required=False)
@_option("--clear", "clear", is_flag=True, help="Go back to what is configured.")
@changing
def limit(
    *,
    target: _LIMITED,
    per_second: float | None,
    clear: bool,
    key: str | None,
    **where: Any,
) -> None:
    """Set what channel.NAME or provider.NAME may send each second; 0 is unlimited."""
    if (per_second is None) != clear:
        raise click.UsageError("give either PER_SECOND or --clear")
    channel, name = target
    why = where["reason"]

    def change(operator: Operator) -> Awaitable[Answer[AuditEntry]]:
        if channel is None:
            if per_second is None:
                return operator.clear_provider_limit(name, reason=why, key=key)
            return operator.limit_provider(name, per_second, reason=why, key=key)
        if per_second is None:
            return operator.clear_channel_limit(channel, reason=why, key=key)
        return operator.limit_channel(channel, per_second, reason=why, key=key)

    _show(where, change, _done)
