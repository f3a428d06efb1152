"""`tocsin send`: options and what is printed; the work is in ops.client and ops.sending."""

from pathlib import Path
from typing import Any

import click
import msgspec

from contracts.channels import Channel, Priority
from ops import client, recipients
from ops.cli import files, singles
from ops.cli.gateways import Patience, Where, gateway_options, run
from ops.recipients import Common


class Metadata(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Read it, or fail with how it is written."""
        try:
            return recipients.read_metadata(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[str]):
    """A time with its offset, kept as it was written."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it, or fail with how it is written."""
        try:
            client.moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


@click.command("send")
@click.option(
    "--channel",
    envvar="TOCSIN_SEND_CHANNEL",
    show_envvar=True,
    type=click.Choice([str(channel) for channel in Channel]),
    help="How it travels.",
)
@click.option(
    "--to",
    "recipient",
    envvar="TOCSIN_SEND_TO",
    show_envvar=True,
    metavar="RECIPIENT",
    help="A number like +15555550001, an email address, or a device token.",
)
@click.option(
    "--file",
    "path",
    envvar="TOCSIN_SEND_FILE",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="CSV",
    help="A file of recipients instead of --to.",
)
@click.option(
    "--content",
    envvar="TOCSIN_SEND_CONTENT",
    show_envvar=True,
    metavar="TEXT",
    help="What it says.",
)
@click.option(
    "--subject",
    envvar="TOCSIN_SEND_SUBJECT",
    show_envvar=True,
    metavar="TEXT",
    help="The subject of an email.",
)
@click.option(
    "--priority",
    envvar="TOCSIN_SEND_PRIORITY",
    show_envvar=True,
    type=click.Choice([str(priority) for priority in Priority]),
    help="How urgent it is.  [default: normal]",
)
@click.option(
    "--metadata",
    envvar="TOCSIN_SEND_METADATA",
    show_envvar=True,
    type=Metadata(),
    metavar="JSON",
    help="An object kept beside it and shown with it, at most 4 KiB.",
)
@click.option(
    "--scheduled-at",
    envvar="TOCSIN_SEND_SCHEDULED_AT",
    show_envvar=True,
    type=Moment(),
    metavar="TIME",
    help="Send it then, as in 2026-12-24T09:00:00+01:00.",
)
@click.option(
    "--idempotency-key",
    envvar="TOCSIN_SEND_IDEMPOTENCY_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Send once, however often this is run with the same key (with --to).",
)
@click.option(
    "--label",
    envvar="TOCSIN_SEND_LABEL",
    show_envvar=True,
    metavar="TEXT",
    help="Sets this sending of a file apart from another sending of the same file.",
)
@click.option(
    "--parallel",
    envvar="TOCSIN_SEND_PARALLEL",
    show_envvar=True,
    type=click.IntRange(1, 32),
    default=2,
    show_default=True,
    help="Batches of a file in flight at once.",
)
@click.option(
    "--dry-run",
    envvar="TOCSIN_SEND_DRY_RUN",
    show_envvar=True,
    is_flag=True,
    help="Check a file, say what would be sent, and send nothing.",
)
@click.option(
    "--patience",
    "patience_seconds",
    envvar="TOCSIN_SEND_PATIENCE",
    show_envvar=True,
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep trying a request this long while the gateway says wait (429, 503).",
)
@click.option(
    "--wait",
    "wait",
    envvar="TOCSIN_SEND_WAIT",
    show_envvar=True,
    is_flag=True,
    help="Stay until everything is delivered or has failed.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    envvar="TOCSIN_SEND_TIMEOUT",
    show_envvar=True,
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up waiting (--wait) after this long.",
)
@click.option(
    "--json",
    "as_json",
    envvar="TOCSIN_SEND_JSON",
    show_envvar=True,
    is_flag=True,
    help="Print the result as one JSON document.",
)
@gateway_options
def command(
    *,
    channel: str | None,
    recipient: str | None,
    path: Path | None,
    content: str | None,
    subject: str | None,
    priority: str | None,
    metadata: dict[str, Any] | None,
    scheduled_at: str | None,
    idempotency_key: str | None,
    label: str | None,
    parallel: int,
    dry_run: bool,
    patience_seconds: float,
    wait: bool,
    timeout_seconds: float,
    as_json: bool,
    gateway_url: str,
    api_key: str | None,
) -> None:
    """Send one notification, or a file of them.

    \b
    One:
      tocsin send --channel sms --to +15555550001 --content "The build is green." --wait
    Many:
      tocsin send --file recipients.csv --channel sms --content "Doors open at nine."

    The first line of a file names its columns: recipient (or to), and where lines
    differ channel, content, subject, priority, metadata. Empty cells mean the options
    given here. Every line is checked first; if one is wrong, nothing is sent. Then
    batches of 1,000 are sent, each under a key made from the file, the options and the
    line numbers: running the same command again within the gateway's idempotency window
    (24 hours unless changed) goes on where it stopped and sends nothing twice.

    Results are on stdout, all else on stderr.

    Exit codes: 0 accepted (with --wait: delivered), 1 refused, failed or not finished in
    time, 2 wrong usage, 3 no gateway answers, 130 stopped by Ctrl-C.
    """  # noqa: D301 (click reads the backspace)
    where = Where(url=gateway_url, api_key=api_key)
    patience = Patience(
        request_seconds=patience_seconds,
        result_seconds=timeout_seconds if wait else None,
    )
    common = Common(
        channel=channel,
        content=content,
        subject=subject,
        priority=priority,
        metadata=metadata,
        scheduled_at=scheduled_at,
        label=label,
    )
    if (recipient is None) == (path is None):
        raise click.UsageError("give either --to or --file")
    if path is not None:
        if idempotency_key is not None:
            raise click.UsageError(
                "--idempotency-key goes with --to; a file has its own"
            )
        run(
            files.send(
                where,
                patience,
                path,
                common,
                parallel=parallel,
                dry_run=dry_run,
                as_json=as_json,
            )
        )
        return
    if channel is None or content is None:
        raise click.UsageError("--to needs --channel and --content")
    if dry_run or label is not None:
        raise click.UsageError("--dry-run and --label go with --file")
    assert recipient is not None
    try:
        body = msgspec.json.encode(_single(common, recipient))
    except UnicodeEncodeError as error:
        raise click.UsageError("what is sent must be valid Unicode") from error
    run(singles.send(where, patience, body, idempotency_key, as_json=as_json))


def _single(common: Common, recipient: str) -> dict[str, Any]:
    item = {"recipient": recipient, **msgspec.to_builtins(common)}
    return {field: value for field, value in item.items() if value is not None}
