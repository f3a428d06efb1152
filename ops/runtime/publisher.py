"""Publishes groups of messages to JetStream and returns when every one is confirmed.

Large groups go as one atomic batch (one confirmation for all), small ones as concurrent
publishes. Both carry message ids, so publishing a group again stores nothing twice within
the stream's duplicate window.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import nats.errors
from nats.js import errors as js_errors

from contracts.messages import MESSAGE_ID_HEADER
from ops.runtime.bus import Bus
from ops.runtime.errors import BusFull, BusUnavailable

#: Below this an atomic batch is slower than concurrent publishes: the server stages each
#: batch in a file of its own.
ATOMIC_FROM = 256
ATOMIC_AT_MOST = 1000

_CONFIRM_SECONDS = 5.0
_CONCURRENT = 256
_FULL_CODES = frozenset({10077, 10023})


class Outgoing(NamedTuple):
    """One message to publish."""

    subject: str
    payload: bytes
    message_id: str
    headers: dict[str, str]


async def publish_group(bus: Bus, group: Sequence[Outgoing]) -> None:
    """Publish every message of a group; when this returns, all of them are stored.

    Raises ``BusUnavailable`` when some were not confirmed: any part of the group may then
    be stored, and publishing the whole group again is right.
    """
    for start in range(0, len(group), ATOMIC_AT_MOST):
        part = group[start : start + ATOMIC_AT_MOST]
        if len(part) < ATOMIC_FROM or not await _publish_atomic(bus, part):
            await _publish_singly(bus, part)


async def _publish_atomic(bus: Bus, part: Sequence[Outgoing]) -> bool:
    """Publish one batch; False when the server refused it whole, for a known id or its limits."""
    batch_id = uuid4().hex
    last = len(part)
    try:
        for sequence, message in enumerate(part[:-1], start=1):
            await bus.nc.publish(
                message.subject,
                message.payload,
                headers={
                    **message.headers,
                    MESSAGE_ID_HEADER: message.message_id,
                    "Nats-Batch-Id": batch_id,
                    "Nats-Batch-Sequence": str(sequence),
                },
            )
        closing = part[-1]
        reply = await bus.nc.request(
            closing.subject,
            closing.payload,
            timeout=_CONFIRM_SECONDS,
            headers={
                **closing.headers,
                MESSAGE_ID_HEADER: closing.message_id,
                "Nats-Batch-Id": batch_id,
                "Nats-Batch-Sequence": str(last),
                "Nats-Batch-Commit": "1",
            },
        )
    except (nats.errors.Error, TimeoutError, ConnectionError) as error:
        raise BusUnavailable(
            f"a batch of {last} was not confirmed: {error!r}"
        ) from error
    answer = json.loads(reply.data) if reply.data else {}
    if (refusal := answer.get("error")) is not None:
        if refusal.get("err_code") in _FULL_CODES:
            raise BusFull(str(refusal.get("description")))
        return False
    return bool(answer.get("count") == last)


async def _publish_singly(bus: Bus, part: Sequence[Outgoing]) -> None:
    for start in range(0, len(part), _CONCURRENT):
        results = await asyncio.gather(
            *(
                _publish_one(bus, message)
                for message in part[start : start + _CONCURRENT]
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def _publish_one(bus: Bus, message: Outgoing) -> None:
    try:
        await bus.js.publish(
            message.subject,
            message.payload,
            timeout=_CONFIRM_SECONDS,
            headers={**message.headers, MESSAGE_ID_HEADER: message.message_id},
        )
    except js_errors.ServiceUnavailableError as error:
        if error.err_code in _FULL_CODES:
            raise BusFull(str(error.description)) from error
        raise BusUnavailable(repr(error)) from error
    except (nats.errors.Error, TimeoutError, ConnectionError) as error:
        raise BusUnavailable(repr(error)) from error
