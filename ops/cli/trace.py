"""`tocsin trace`."""

from datetime import UTC, datetime
from uuid import UUID

import click

from ops import client, timeline
from ops.cli.gateways import Where, explained, gateway_options, run
from ops.client import Answer, Notification, Trace


@click.command("trace")
@click.argument("notification_id", metavar="ID", type=click.UUID)
@click.option(
    "--json",
    "as_json",
    envvar="TOCSIN_TRACE_JSON",
    show_envvar=True,
    is_flag=True,
    help="Print the trace as the gateway tells it.",
)
@gateway_options
def command(
    *, notification_id: UUID, as_json: bool, gateway_url: str, api_key: str | None
) -> None:
    """Show what happened to a notification, with its waits.

    One line for each event, with the time since the event before. The bar shows what
    part of all its time a wait was, and what it was for. Times are UTC.

    Exit codes: 0 shown, 1 refused (there is none with this id, or it is another
    tenant's), 2 wrong usage, 3 no gateway answers.
    """
    where = Where(url=gateway_url, api_key=api_key)
    with explained():
        notification, trace = run(_ask(where, notification_id))
    if as_json:
        click.echo(trace.body)
        return
    for line in timeline.text(notification.value, trace.value, datetime.now(UTC)):
        click.echo(line)


async def _ask(where: Where, id_: UUID) -> tuple[Answer[Notification], Answer[Trace]]:
    async with client.open_gateway(where.url, where.api_key) as gateway:
        return await gateway.notification(id_), await gateway.trace(id_)
