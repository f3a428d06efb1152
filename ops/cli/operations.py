"""What the commands that change much at once share: a look before, a question, and the progress."""

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from contracts.operations import OperationState
from ops import client
from ops.cli.gateways import Failed, Stopped, Where, explained
from ops.cli.progress import bar
from ops.client import Answer
from ops.letters import Forecast, Letters, Operation

_Command = TypeVar("_Command", bound=Callable[..., Any])


def operation_options(prefix: str) -> Callable[[_Command], _Command]:
    """Add why, a dry run, a yes, and JSON; variables begin with ``prefix``."""

    def add(command: _Command) -> _Command:
        for option in reversed(
            (
                click.option(
                    "--reason",
                    "why",
                    envvar=f"{prefix}_REASON",
                    show_envvar=True,
                    metavar="TEXT",
                    help="Why; it is kept with who and when. Needed, except for --dry-run.",
                ),
                click.option(
                    "--dry-run",
                    "dry_run",
                    envvar=f"{prefix}_DRY_RUN",
                    show_envvar=True,
                    is_flag=True,
                    help="Say what would be done, and do nothing.",
                ),
                click.option(
                    "--yes",
                    "yes",
                    envvar=f"{prefix}_YES",
                    show_envvar=True,
                    is_flag=True,
                    help="Do not ask whether it is meant.",
                ),
                click.option(
                    "--json",
                    "as_json",
                    envvar=f"{prefix}_JSON",
                    show_envvar=True,
                    is_flag=True,
                    help="Print the result as one JSON document.",
                ),
            )
        ):
            command = option(command)
        return command

    return add


def check_meant(*, why: str | None, dry_run: bool, yes: bool) -> None:
    """End with a usage error unless it can be told that this is meant, and why."""
    if dry_run:
        return
    if not (why or "").strip():
        raise click.UsageError("--reason is needed")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here; --yes says it is meant")


async def operate(
    where: Where,
    path: str,
    operations: str,
    body: dict[str, Any],
    words: str,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    before: Callable[[Letters], Any] | None = None,
) -> None:
    """Look, ask, begin, and follow it to its end; Ctrl-C stops the operation.

    ``words`` says what is done, as in "replay"; ``before`` runs when it is decided.
    """
    with explained():
        async with client.open_gateway(where.url, where.api_key) as gateway:
            await gateway.reach()
            letters = Letters(gateway)
            forecast = await letters.forecast(path, body)
            if dry_run:
                _show_forecast(forecast, words, as_json=as_json)
                return
            if not yes:
                _show_forecast(forecast, words, as_json=False, err=True)
                if not _confirmed():
                    raise Failed("nothing was done")
            if before is not None:
                await before(letters)
            begun = await letters.begin(path, body)
            answer = await _follow(letters, f"{operations}/{begun.value.id}", begun)
    operation = answer.value
    if as_json:
        click.echo(answer.body)
    else:
        click.echo(f"{operation.id} {_outcome(operation)}")
    if operation.state != OperationState.FINISHED:
        raise Failed(f"it was stopped: {_outcome(operation)}")


def _confirmed() -> bool:
    # The loop's own handler would cancel this task, which nobody at the question notices.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm("Go on?", err=True)
    finally:
        signal.signal(signal.SIGINT, handler)


async def _follow(
    letters: Letters, path: str, begun: Answer[Operation]
) -> Answer[Operation]:
    with bar(begun.value.kind, begun.value.total) as progress:
        try:
            return await letters.end_of(
                path,
                lambda seen: progress.reach(seen.done + seen.refused),
                lambda error, _: progress.waits(f"waiting: {error}"),
            )
        except asyncio.CancelledError:
            stopped = await letters.stop(path)
            raise Stopped(f"stopped: {_outcome(stopped.value)}") from None


def _show_forecast(
    forecast: Answer[Forecast], words: str, *, as_json: bool, err: bool = False
) -> None:
    if as_json:
        click.echo(forecast.body)
        return
    told = forecast.value
    count = told.count - sum(told.refused.values())
    click.echo(f"{words}: {count:,}", err=err)
    for cause, number in told.refused.items():
        if number:
            click.echo(f"left as they are, {cause}: {number:,}", err=err)
    for letter in told.samples:
        lane = f"{letter.channel}/{letter.priority}"
        click.echo(
            f"  {letter.notification_id} {lane} {letter.class_}, {letter.reason}",
            err=err,
        )


def _outcome(operation: Operation) -> str:
    refused = f", {operation.refused:,} left as they are" if operation.refused else ""
    return f"{operation.done:,} of {operation.total:,} done{refused}"
