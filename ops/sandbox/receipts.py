"""Receipts on demand: the sandbox tells the gateway what became of a message it took."""

from datetime import UTC, datetime
from typing import Annotated

import aiohttp
import msgspec

from contracts.ids import new_id
from contracts.messages import UtcTime
from contracts.receipts import CODE_PATTERN, ReceiptKind
from contracts.signatures import signature_headers, signing_key
from ops.sandbox.inbox import Message

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which receipt to send, of the newest message with this key."""

    idempotency_key: str
    kind: ReceiptKind
    at: UtcTime | None = None  #: when it happened; now when absent
    code: Annotated[str, msgspec.Meta(pattern=CODE_PATTERN)] | None = None
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    """What it is known by: one that was sent before makes this a repetition."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that was sent, and what it was answered."""

    id: str
    status: int
    answer: msgspec.Raw


class Receipts:
    """Sends signed receipts to one address."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._key = signing_key(secret)

    async def send(self, order: Order, message: Message) -> Sent:
        """Send one receipt; raises what the HTTP client raises when nobody answers."""
        id_ = order.id or str(new_id())
        told = msgspec.json.encode(
            {
                "type": f"receipt.{order.kind}",
                "timestamp": order.at or datetime.now(UTC),
                "data": {
                    "notification_id": order.idempotency_key,
                    "message_id": str(message.id),
                    **({} if order.code is None else {"code": order.code}),
                },
            }
        )
        headers = {
            "Content-Type": "application/json",
            **signature_headers([self._key], id_, told),
        }
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(self._url, data=told, headers=headers) as response,
        ):
            body = await response.read()
        return Sent(id=id_, status=response.status, answer=_json(body))


def _json(body: bytes) -> msgspec.Raw:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.Raw(msgspec.json.encode(body.decode(errors="replace")))
    return msgspec.Raw(body)
