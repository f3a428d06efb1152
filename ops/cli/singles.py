"""Sending one notification from the command line, and staying with it."""

import asyncio
import functools
import uuid

import click

from contracts.lifecycle import FINAL, Status
from ops import client
from ops.cli.gateways import Failed, Patience, Where, explained
from ops.client import Answer, Gateway, GatewayError, Notification
from ops.results import final_notification


async def send(
    where: Where, patience: Patience, body: bytes, key: str | None, *, as_json: bool
) -> None:
    """Have it accepted, wait for its end if asked to, and print what became of it."""
    with explained():
        async with client.open_gateway(where.url, where.api_key) as gateway:
            await gateway.reach()
            # A key of its own makes trying again safe.
            key = key or str(uuid.uuid4())
            answer = await client.patiently(
                functools.partial(gateway.create, body, key),
                at_most_seconds=patience.request_seconds,
                waiting=_tell,
                stopping=asyncio.Event(),
            )
            if answer.replayed:
                click.echo("already accepted under this key", err=True)
            if patience.result_seconds is not None:
                answer = await _wait(gateway, answer, patience)
    notification = answer.value
    if as_json:
        click.echo(answer.body)
    else:
        click.echo(f"{notification.id} {_outcome(notification)}")
    if patience.result_seconds is not None and notification.status != Status.DELIVERED:
        raise Failed(_shortfall(notification, patience.result_seconds))


async def _wait(
    gateway: Gateway, accepted: Answer[Notification], patience: Patience
) -> Answer[Notification]:
    def changed(notification: Notification) -> None:
        if notification.status not in FINAL:
            click.echo(_outcome(notification), err=True)

    changed(accepted.value)
    return await final_notification(
        gateway,
        accepted,
        at_most_seconds=patience.result_seconds or 0.0,
        changed=changed,
        waiting=_tell,
    )


def _outcome(notification: Notification) -> str:
    took = (notification.updated_at - notification.created_at).total_seconds()
    match notification.status:
        case Status.DELIVERED:
            tries = notification.attempts
            attempts = f"{tries} attempt{'s' if tries > 1 else ''}"
            return f"delivered in {took:.2f} s by {notification.provider}, {attempts}"
        case Status.FAILED:
            reason = notification.failure_reason or "no reason given"
            return f"failed: {notification.failure_class}, {reason}"
        case Status.RETRYING:
            at = notification.next_retry_at
            when = f", again at {at:%H:%M:%S}Z" if at else ""
            return f"retrying: {notification.failure_class}{when}"
        case Status.PENDING if notification.scheduled_at:
            return f"pending until {notification.scheduled_at:%Y-%m-%d %H:%M:%S}Z"
        case status:
            return str(status)


def _shortfall(notification: Notification, seconds: float) -> str:
    id_, status = notification.id, notification.status
    if status in FINAL:
        return f"it was not delivered; `tocsin trace {id_}` shows why"
    return f"it is still {status} after {seconds:g} s; `tocsin trace {id_}` shows it"


@functools.cache  # once for each reason
def _tell_once(reason: str) -> None:
    click.echo(f"waiting: {reason}", err=True)


def _tell(error: GatewayError, _pause_seconds: float) -> None:
    _tell_once(str(error))
