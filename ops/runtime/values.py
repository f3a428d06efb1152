"""Reads key-value buckets as they are at this moment, asking the server that leads them."""

from typing import NamedTuple
from uuid import UUID

from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from contracts import subjects
from contracts.controls import ENTRY_HEADER
from contracts.topology import Stream
from ops.runtime.bus import Bus

OPERATION_HEADER = "KV-Operation"
EXPECTED_HEADER = "Nats-Expected-Last-Subject-Sequence"
#: The server's code for a value that was not stored because of that header.
WRONG_REVISION = 10071


class Value(NamedTuple):
    """What a key holds; None when nothing, or nothing any more."""

    payload: bytes | None
    revision: int  #: 0 when nothing ever was


async def read_value(bus: Bus, bucket: Stream, key: str) -> Value:
    """Return what a key of a bucket holds now."""
    subject = subjects.bucket_value(bucket.name, key)
    try:
        return _value(await bus.js.get_last_msg(bucket.name, subject))
    except NotFoundError:
        return Value(None, 0)


async def read_values(bus: Bus, bucket: Stream) -> dict[str, bytes]:
    """Return all that a bucket holds now, by key. It asks once for each key."""
    [pattern] = bucket.subjects
    info = await bus.js.stream_info(bucket.name, subjects_filter=pattern)
    held: dict[str, bytes] = {}
    for subject in sorted(info.state.subjects or ()):
        key = subject.removeprefix(pattern.removesuffix(">"))
        value = await read_value(bus, bucket, key)
        if value.payload is not None:
            held[key] = value.payload
    return held


async def was_stored(
    bus: Bus, bucket: Stream, key: str, *, after: int, entry: UUID
) -> bool:
    """Say whether a value with the id of an entry was stored after a revision.

    The bucket's history bounds how far one can look: a value that as many later ones have
    pushed out is not found.
    """
    subject = subjects.bucket_value(bucket.name, key)
    revision = after
    while True:
        try:
            message = await bus.js.get_msg(
                bucket.name, seq=revision + 1, subject=subject, next=True
            )
        except NotFoundError:
            return False
        if (message.headers or {}).get(ENTRY_HEADER) == str(entry):
            return True
        revision = _value(message).revision


def _value(message: RawStreamMsg) -> Value:
    gone = OPERATION_HEADER in (message.headers or {})
    return Value(None if gone else message.data, message.seq or 0)
