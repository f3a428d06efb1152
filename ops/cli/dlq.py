"""`tocsin dlq`: dead letters, through the gateway."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar
from uuid import UUID

import click
import msgspec

from contracts.channels import Channel, Priority
from contracts.operations import (
    DEFAULT_RATE_PER_SECOND,
    IDS_AT_MOST,
    RATE_AT_MOST_PER_SECOND,
    LetterFilter,
    Resolution,
)
from contracts.outcomes import FailureClass
from ops import client
from ops.cli.gateways import Failed, Where, explained, gateway_options, run
from ops.cli.operations import check_meant, operate, operation_options
from ops.letters import LETTERS, OPERATIONS, Group, Letter, Letters

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STATES = ("open", *(str(state) for state in Resolution), "all")


class Moment(click.ParamType[datetime]):
    """A time with its offset."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it, or fail with how one is written."""
        try:
            return client.moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def filter_options(command: _Command) -> _Command:
    """Add what dead letters can be told apart by."""
    for flag, name, type_, metavar, help_ in reversed(
        (
            (
                "--channel",
                "channel",
                click.Choice([*map(str, Channel)]),
                None,
                "Of it.",
            ),
            (
                "--priority",
                "priority",
                click.Choice([*map(str, Priority)]),
                None,
                "Of it.",
            ),
            (
                *("--class", "class_", click.Choice([*map(str, FailureClass)]), None),
                "That failed in this way.",
            ),
            (
                *("--failure-reason", "failure_reason", str, "TEXT"),
                "That failed for exactly this reason.",
            ),
            (
                "--since",
                "failed_after",
                Moment(),
                "TIME",
                "That failed at or after it.",
            ),
            ("--until", "failed_before", Moment(), "TIME", "That failed before it."),
        )
    ):
        variable = f"TOCSIN_DLQ_{flag.removeprefix('--').replace('-', '_').upper()}"
        command = click.option(
            flag,
            name,
            envvar=variable,
            show_envvar=True,
            type=type_,
            metavar=metavar,
            help=help_,
        )(command)
    return command


def chosen(command: _Command) -> _Command:
    """Add which dead letters are meant: ids, a filter, or all."""
    command = filter_options(command)
    command = click.option(
        "--all",
        "everything",
        envvar="TOCSIN_DLQ_ALL",
        show_envvar=True,
        is_flag=True,
        help="All that are open; instead of ids and filters.",
    )(command)
    return click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)(command)


def _filter(fields: dict[str, Any], ids: Sequence[UUID] = ()) -> LetterFilter:
    """Take the filter's options out of a command's."""
    if len(ids) > IDS_AT_MOST:
        raise click.UsageError(f"at most {IDS_AT_MOST:,} ids at once")
    return msgspec.convert(
        {
            "ids": [*ids] or None,
            "reason": fields.pop("failure_reason"),
            "class": fields.pop("class_"),
            **{
                name: fields.pop(name)
                for name in ("channel", "priority", "failed_after", "failed_before")
            },
        },
        LetterFilter,
    )


@click.group("dlq")
def command() -> None:
    """List, replay, discard and export dead letters.

    A dead letter is a notification that was given up: refused for good, out of
    attempts, or the end of one dispatcher after another. It needs a key with the role
    operator or admin.

    Exit codes: 0 done, 1 refused or stopped by somebody, 2 wrong usage, 3 no gateway
    answers, 130 stopped by Ctrl-C.
    """


@command.command("list")
@filter_options
@click.option(
    "--state",
    envvar="TOCSIN_DLQ_STATE",
    show_envvar=True,
    type=click.Choice(_STATES),
    default="open",
    show_default=True,
    help="What became of them.",
)
@click.option(
    "--groups",
    envvar="TOCSIN_DLQ_GROUPS",
    show_envvar=True,
    is_flag=True,
    help="Count the open ones by channel, class and reason instead.",
)
@click.option(
    "--limit",
    envvar="TOCSIN_DLQ_LIMIT",
    show_envvar=True,
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option(
    "--json",
    "as_json",
    envvar="TOCSIN_DLQ_JSON",
    show_envvar=True,
    is_flag=True,
    help="Print what the gateway answers.",
)
@gateway_options
def list_(
    *,
    state: str,
    groups: bool,
    limit: int,
    as_json: bool,
    gateway_url: str,
    api_key: str | None,
    **fields: Any,
) -> None:
    """Show dead letters, newest first, or what they died of."""
    which = _filter(fields)
    where = Where(url=gateway_url, api_key=api_key)
    with explained():
        body, lines = run(_look(where, which, state, limit, groups=groups))
    if as_json:
        click.echo(body)
        return
    for line in lines:
        click.echo(line)


async def _look(
    where: Where, which: LetterFilter, state: str, limit: int, *, groups: bool
) -> tuple[bytes, list[str]]:
    async with client.open_gateway(where.url, where.api_key) as gateway:
        letters = Letters(gateway)
        if groups:
            counted = await letters.groups(which)
            return counted.body, [_group_line(one) for one in counted.value.groups]
        page = await letters.page(which, state, limit)
    items = [msgspec.json.decode(item, type=Letter) for item in page.value.items]
    lines = [_letter_line(item) for item in items]
    if page.value.next_cursor is not None:
        lines.append(f"and more; the newest {limit} are shown")
    return page.body, lines


def _letter_line(letter: Letter) -> str:
    lane = f"{letter.channel}/{letter.priority}"
    state = "" if letter.state == "open" else f" [{letter.state}]"
    return (
        f"{letter.notification_id} {letter.failed_at:%Y-%m-%d %H:%M:%S}Z {lane:12}"
        f" {letter.class_}, {letter.reason}{state}"
    )


def _group_line(group: Group) -> str:
    return (
        f"{group.count:9,} {group.channel:5} {group.class_:10} {group.reason}"
        f"  ({group.first:%Y-%m-%d %H:%M}Z to {group.last:%Y-%m-%d %H:%M}Z)"
    )


@command.command("replay")
@chosen
@click.option(
    "--rate",
    "rate_per_second",
    envvar="TOCSIN_DLQ_RATE",
    show_envvar=True,
    type=click.FloatRange(0, RATE_AT_MOST_PER_SECOND, min_open=True),
    default=DEFAULT_RATE_PER_SECOND,
    show_default=True,
    metavar="PER_SECOND",
    help="So many a second, at most.",
)
@operation_options("TOCSIN_DLQ")
@gateway_options
def replay(
    *, rate_per_second: float, why: str | None, gateway_url: str, **options: Any
) -> None:
    """Send failed notifications again, their attempts starting anew.

    By ids (of the dead letters or of their notifications), by filter, or --all. What has
    expired meanwhile is left as it is. The mesh goes on with it when this command is
    gone; Ctrl-C stops it.
    """
    _operate(
        "replay", why, gateway_url, options, more={"rate_per_second": rate_per_second}
    )


@command.command("discard")
@chosen
@click.option(
    "--export",
    "export_path",
    envvar="TOCSIN_DLQ_EXPORT",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write them to this file first, one JSON document a line.",
)
@operation_options("TOCSIN_DLQ")
@gateway_options
def discard(
    *,
    export_path: Path | None,
    why: str | None,
    gateway_url: str,
    **options: Any,
) -> None:
    """Put dead letters away: they are not open any more, and stay on record."""
    if export_path is not None and options["ids"]:
        raise click.UsageError("--export goes with a filter or --all")
    _operate("discard", why, gateway_url, options, export_path=export_path)


def _operate(
    words: str,
    why: str | None,
    gateway_url: str,
    options: dict[str, Any],
    *,
    more: dict[str, Any] | None = None,
    export_path: Path | None = None,
) -> None:
    everything = options.pop("everything")
    which = _filter(options, options.pop("ids"))
    where = Where(url=gateway_url, api_key=options.pop("api_key"))
    if everything != (which == LetterFilter()):
        raise click.UsageError("say which: ids, a filter, or --all")
    check_meant(why=why, dry_run=options["dry_run"], yes=options["yes"])
    if export_path is not None and which.failed_before is None:
        # What fails after the export is not in the file, so it is not discarded either.
        which = msgspec.structs.replace(which, failed_before=datetime.now(UTC))
        everything = False

    async def export_first(letters: Letters) -> None:
        if export_path is not None:
            with _opened(export_path) as file:
                await _write(letters, which, "open", file)

    body = {"filter": which, "all": everything, "reason": why or "", **(more or {})}
    run(
        operate(
            where,
            f"{LETTERS}/{words}",
            OPERATIONS,
            body,
            words,
            before=export_first,
            **options,
        )
    )


@command.command("export")
@filter_options
@click.option(
    "--state",
    envvar="TOCSIN_DLQ_STATE",
    show_envvar=True,
    type=click.Choice(_STATES),
    default="open",
    show_default=True,
    help="What became of them.",
)
@click.option(
    "--output",
    "path",
    envvar="TOCSIN_DLQ_OUTPUT",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file.  [default: stdout]",
)
@gateway_options
def export(
    *,
    state: str,
    path: Path | None,
    gateway_url: str,
    api_key: str | None,
    **fields: Any,
) -> None:
    """Write dead letters as NDJSON, newest first, without recipients and contents."""
    which = _filter(fields)
    where = Where(url=gateway_url, api_key=api_key)
    with explained():
        number = run(_export(where, which, state, path))
    click.echo(f"{number:,} dead letters", err=True)


async def _export(
    where: Where, which: LetterFilter, state: str, path: Path | None
) -> int:
    async with client.open_gateway(where.url, where.api_key) as gateway:
        letters = Letters(gateway)
        if path is None:
            return await _write(letters, which, state, sys.stdout)
        with _opened(path) as file:
            return await _write(letters, which, state, file)


async def _write(
    letters: Letters, which: LetterFilter, state: str, file: TextIO
) -> int:
    number = 0
    async for line in letters.each(which, state):
        file.write(line.decode() + "\n")
        number += 1
    return number


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from error
