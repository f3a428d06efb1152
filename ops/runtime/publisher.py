"""Publishes groups of messages to JetStream and returns when every one is confirmed.

Large groups go as one atomic batch (one confirmation for all), small ones as messages with
a confirmation each. Both carry message ids, so publishing a group again stores nothing
twice within the stream's duplicate window.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import nats.errors

from contracts.messages import MESSAGE_ID_HEADER
from ops.runtime import wire
from ops.runtime.bus import Bus
from ops.runtime.errors import BusFull, BusUnavailable

#: Below this an atomic batch is slower than single messages: the server stages each batch
#: in a file of its own.
ATOMIC_FROM = 256
ATOMIC_AT_MOST = 1000

_CONFIRM_SECONDS = 5.0
_UNCONFIRMED_AT_MOST = 256
FULL_CODES = frozenset({10077, 10023})


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


async def announce(bus: Bus, events: Iterable[tuple[str, bytes]]) -> None:
    """Publish payloads on subjects without waiting for anything to store them.

    Raises ``BusUnavailable`` when the bus is away; all of the events are then lost.
    """
    with _unavailable():
        await wire.send(
            bus.nc, [wire.compose(subject, payload) for subject, payload in events]
        )


async def _publish_atomic(bus: Bus, part: Sequence[Outgoing]) -> bool:
    """Publish one batch; False when the server refused it whole, for a known id or its limits."""
    batch_id = uuid4().hex
    answer = await _confirmed(bus, 1, partial(_compose_atomic, part, batch_id))
    if "error" in answer:
        _raise_if_full(answer["error"])
        return False
    return bool(answer.get("count") == len(part))


def _compose_atomic(
    part: Sequence[Outgoing], batch_id: str, reply: str
) -> Iterator[bytes]:
    last = len(part)
    for sequence, message in enumerate(part, start=1):
        headers = {
            **message.headers,
            MESSAGE_ID_HEADER: message.message_id,
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(sequence),
        }
        if sequence < last:
            yield wire.compose(message.subject, message.payload, headers=headers)
        else:
            headers["Nats-Batch-Commit"] = "1"
            yield wire.compose(
                message.subject, message.payload, reply=reply, headers=headers
            )


async def _publish_singly(bus: Bus, part: Sequence[Outgoing]) -> None:
    for start in range(0, len(part), _UNCONFIRMED_AT_MOST):
        some = part[start : start + _UNCONFIRMED_AT_MOST]
        answer = await _confirmed(bus, len(some), partial(_compose_singly, some))
        if "error" in answer:
            _raise_if_full(answer["error"])
            raise BusUnavailable(str(answer["error"].get("description")))


def _compose_singly(part: Sequence[Outgoing], reply: str) -> Iterator[bytes]:
    for message in part:
        yield wire.compose(
            message.subject,
            message.payload,
            reply=reply,
            headers={**message.headers, MESSAGE_ID_HEADER: message.message_id},
        )


async def _confirmed(
    bus: Bus, number: int, compose: Callable[[str], Iterable[bytes]]
) -> dict[str, Any]:
    """Send what ``compose`` makes for a reply subject, and return the last answer to it.

    An answer that is an error is the last.
    """
    with _unavailable():
        await bus.confirmations.open()
        with bus.confirmations.expect(number) as expected:
            await wire.send(bus.nc, compose(expected.reply))
            return await expected.last(_CONFIRM_SECONDS)


def _raise_if_full(refusal: dict[str, Any]) -> None:
    if refusal.get("err_code") in FULL_CODES:
        raise BusFull(str(refusal.get("description")))


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, TimeoutError, ConnectionError) as error:
        raise BusUnavailable(repr(error)) from error
