"""Tocsin over the bus, for services that are on it anyway."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import nats.errors
from nats.aio.client import Client

from contracts import messages, subjects
from contracts.messages import AnyMessage, ReceiptArrived, StatusChanged
from contracts.problems import Problem
from contracts.settings import nats_servers
from ops.client.answers import Answer, Batch, Notification
from ops.client.errors import GatewayError, Refused, Unreachable, Unreadable
from ops.runtime.version import version

_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_ERROR_CODE_HEADER = "Nats-Service-Error-Code"

_Value = TypeVar("_Value")


class Bus:
    """A connection to the bus, with the key to ask for notifications there."""

    def __init__(self, nc: Client, key: str | None = None) -> None:
        self._nc = nc
        self._key = key

    async def create(
        self, body: bytes, key: str, *, tenant: str | None = None
    ) -> Answer[Notification]:
        """Have one notification accepted; the same key and body do so once.

        ``tenant`` is named where the bus vouches for it, in place of an API key.
        """
        subject = subjects.CREATE if tenant is None else subjects.create(tenant)
        return await self._ask(subject, Notification, body, key)

    async def create_batch(
        self, body: bytes, key: str, *, tenant: str | None = None
    ) -> Answer[Batch]:
        """Have up to 1,000 notifications accepted; the same key and body do so once."""
        subject = (
            subjects.CREATE_BATCH
            if tenant is None
            else subjects.create(tenant, batch=True)
        )
        return await self._ask(subject, Batch, body, key)

    async def changes(
        self, tenant: str, notification_id: UUID | None = None
    ) -> AsyncGenerator[StatusChanged, None]:
        """Yield every change of a tenant's notifications, or of one, from now on.

        Told once and not kept: who was away reads the stream STATUS, or asks.
        """
        async with aclosing(self._events(tenant, notification_id)) as events:
            async for event in events:
                if isinstance(event, StatusChanged):
                    yield event

    async def receipts(
        self, tenant: str, notification_id: UUID | None = None
    ) -> AsyncGenerator[ReceiptArrived, None]:
        """Yield every receipt of a tenant's notifications, or of one, from now on.

        Told as changes are. Of several of one notification the greatest ``rank`` is newest.
        """
        async with aclosing(self._events(tenant, notification_id)) as events:
            async for event in events:
                if isinstance(event, ReceiptArrived):
                    yield event

    async def _events(
        self, tenant: str, notification_id: UUID | None
    ) -> AsyncGenerator[AnyMessage, None]:
        subject = (
            subjects.status_of_tenant(tenant)
            if notification_id is None
            else subjects.status_of_notification(notification_id, tenant)
        )
        subscription = await self._nc.subscribe(subject)
        try:
            async for message in subscription.messages:
                yield messages.decode(message.data)
        finally:
            if not self._nc.is_closed:
                await subscription.unsubscribe()

    async def _ask(
        self, subject: str, type_: type[_Value], body: bytes, key: str
    ) -> Answer[_Value]:
        headers = {messages.IDEMPOTENCY_HEADER: key}
        if self._key is not None:
            headers[messages.AUTHORIZATION_HEADER] = f"Bearer {self._key}"
        try:
            answer = await self._nc.request(subject, body, _SECONDS, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise Unreachable("no gateway answers on the bus") from error
        except (nats.errors.Error, OSError) as error:
            raise Unreachable(f"the bus brought no answer: {error!r}") from error
        given = answer.headers or {}
        if _ERROR_CODE_HEADER in given:
            raise _refusal(answer.data, given)
        try:
            value = msgspec.json.decode(answer.data, type=type_)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unreadable(f"{subject} is not answered by a gateway") from error
        return Answer(value, answer.data, messages.REPLAY_HEADER in given)


def _refusal(body: bytes, headers: Mapping[str, str]) -> GatewayError:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unreadable("who answered on the bus is no gateway")
    retry_after = headers.get(messages.RETRY_AFTER_HEADER, "")
    return Refused(problem, float(retry_after) if retry_after.isdigit() else None)


@asynccontextmanager
async def open_bus(
    url: str, key: str | None = None, credentials: Path | None = None
) -> AsyncIterator[Bus]:
    """Connect to the bus at an address, or several with commas; Unreachable without any."""
    options: dict[str, Any] = {
        "servers": nats_servers(url),
        "name": f"tocsin-client/{version()}",
        "max_reconnect_attempts": -1,
    }
    if credentials is not None:
        options["user_credentials"] = str(credentials)
    nc = Client()
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await nc.connect(**options)
    except (nats.errors.Error, OSError) as error:  # TimeoutError is an OSError
        await nc.close()
        raise Unreachable(f"{url} cannot be reached: {error!r}") from error
    try:
        yield Bus(nc, key)
    finally:
        await nc.close()
