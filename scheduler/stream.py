"""What the NOTIFY stream holds, asked of the server that leads it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import nats.errors
from nats.js import errors as js_errors
from nats.js.api import RawStreamMsg

from contracts import messages, subjects, topology
from contracts.channels import LANES, Lane
from contracts.messages import NotificationQueued, UtcTime
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable, MeshError

_STREAM = topology.NOTIFY.name
_NO_SUCH_STREAM = 10059
_NO_SUCH_MESSAGE = 10057
_ANSWER_SECONDS = 5.0


class StreamMissing(MeshError):
    """The bus answers and has no NOTIFY stream."""


class Stored(NamedTuple):
    """One message in the stream. ``notification_id`` is None when it is not ours to read."""

    sequence: int
    stored_at: datetime
    notification_id: UUID | None


class LaneState(NamedTuple):
    """What a lane holds: all its messages, and the ones its consumer will still deliver."""

    messages: int
    deliverable: int
    delivered_to: int  #: no message after this one was ever delivered

    @property
    def orphans(self) -> int:
        """Return how many messages the bus keeps and will not deliver."""
        return max(0, self.messages - self.deliverable)


class _StreamState(msgspec.Struct):
    subjects: dict[str, int] = {}


class _StreamInfo(msgspec.Struct):
    state: _StreamState
    ts: UtcTime


class _Failure(msgspec.Struct):
    err_code: int
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Failure | None = None


class Contents(NamedTuple):
    """How many messages each lane has, at a time of the bus's own clock."""

    at: datetime
    messages: dict[Lane, int]


async def contents(bus: Bus) -> Contents:
    """Count the stream's messages. Raises StreamMissing, or BusUnavailable without an answer."""
    # nats-py's stream_info drops the server's time.
    request = msgspec.json.encode({"subjects_filter": subjects.NOTIFY_ALL})
    try:
        reply = await bus.nc.request(
            f"$JS.API.STREAM.INFO.{_STREAM}", request, timeout=_ANSWER_SECONDS
        )
    except nats.errors.Error as error:
        raise BusUnavailable(repr(error)) from error
    failure = msgspec.json.decode(reply.data, type=_Answer).error
    if failure is not None:
        if failure.err_code == _NO_SUCH_STREAM:
            raise StreamMissing(_STREAM)
        raise BusUnavailable(failure.description)
    info = msgspec.json.decode(reply.data, type=_StreamInfo)
    counts = info.state.subjects
    return Contents(
        info.ts, {lane: counts.get(subjects.notify(lane), 0) for lane in LANES}
    )


async def lane_states(bus: Bus) -> dict[Lane, LaneState]:
    """Return the state of every lane that has a consumer."""
    counted = (await contents(bus)).messages
    consumers = {info.name: info for info in await bus.js.consumers_info(_STREAM)}
    states = {}
    for lane in LANES:
        if (info := consumers.get(topology.lane_consumer(lane).name)) is None:
            continue
        states[lane] = LaneState(
            messages=counted[lane],
            deliverable=(info.num_pending or 0) + (info.num_ack_pending or 0),
            delivered_to=info.delivered.stream_seq if info.delivered else 0,
        )
    return states


async def oldest(bus: Bus, lane: Lane, after: int = 0) -> Stored | None:
    """Return a lane's first message after a sequence; None when there is none."""
    return await _get(bus, seq=after + 1, subject=subjects.notify(lane), next_=True)


async def oldest_in_order(bus: Bus, lane: Lane, limit: int) -> AsyncIterator[Stored]:
    """Yield up to ``limit`` of a lane's messages, the oldest first."""
    after = 0
    for _ in range(limit):
        stored = await oldest(bus, lane, after)
        if stored is None:
            return
        yield stored
        after = stored.sequence


async def stored(bus: Bus, sequences: Iterable[int]) -> dict[int, Stored]:
    """Return the messages that are still there, by sequence."""
    found = await asyncio.gather(*(_get(bus, seq=sequence) for sequence in sequences))
    return {message.sequence: message for message in found if message is not None}


async def delete(bus: Bus, sequences: Iterable[int]) -> None:
    """Remove messages; one that is already gone is fine."""
    await asyncio.gather(*(_delete(bus, sequence) for sequence in sequences))


async def _delete(bus: Bus, sequence: int) -> None:
    try:
        await bus.js.delete_msg(_STREAM, sequence)
    except js_errors.ServerError as error:
        if error.err_code != _NO_SUCH_MESSAGE:
            raise


async def _get(
    bus: Bus, *, seq: int, subject: str | None = None, next_: bool = False
) -> Stored | None:
    try:
        message = await bus.js.get_msg(_STREAM, seq=seq, subject=subject, next=next_)
    except js_errors.NotFoundError as error:
        if error.err_code == _NO_SUCH_STREAM:
            raise StreamMissing(_STREAM) from error
        return None
    assert message.seq is not None, "a stored message has a number"
    assert message.time is not None, "a stored message has a time"
    return Stored(message.seq, message.time, _notification_in(message))


def _notification_in(message: RawStreamMsg) -> UUID | None:
    try:
        content = messages.decode(message.data or b"")
    except (msgspec.DecodeError, ValueError):
        return None
    return content.notification_id if isinstance(content, NotificationQueued) else None
