"""What the bus says about messages it will not deliver again.

Anyone who may publish on the advisory subjects can forge one, so an advisory is only a hint
where to look: what happens is decided by the ledger.
"""

from enum import StrEnum
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from contracts import subjects, topology


class AdvisoryKind(StrEnum):
    """What an advisory is about."""

    TERMINATED = "terminated"  #: a dispatcher gave a notification up
    EXHAUSTED = "exhausted"  #: a message was delivered as often as the bus will
    INVALID = "invalid"  #: not an advisory we understand


class Terminated(NamedTuple):
    """A dispatcher gave this notification up; its message is gone."""

    notification_id: UUID


class Exhausted(NamedTuple):
    """The message with this number will not be delivered again; it is still stored."""

    stream_sequence: int


class _Payload(msgspec.Struct, frozen=True):
    stream: str
    stream_seq: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
    reason: str = ""


_decoder = msgspec.json.Decoder(_Payload)


def kind_of(advisory: Terminated | Exhausted | None) -> AdvisoryKind:
    """Return the kind for the metric."""
    match advisory:
        case Terminated():
            return AdvisoryKind.TERMINATED
        case Exhausted():
            return AdvisoryKind.EXHAUSTED
        case None:
            return AdvisoryKind.INVALID


def read(subject: str, payload: bytes) -> Terminated | Exhausted | None:
    """Read an advisory about NOTIFY; None when it is none, whatever it is."""
    try:
        advisory = _decoder.decode(payload)
        if advisory.stream != topology.NOTIFY.name:
            return None
        if subject.startswith(f"{subjects.MAX_DELIVERIES}."):
            return Exhausted(advisory.stream_seq)
        if subject.startswith(f"{subjects.MSG_TERMINATED}."):
            # The dispatcher's reason is "<notification id> <class>".
            return Terminated(UUID(advisory.reason.partition(" ")[0]))
    except (msgspec.DecodeError, ValueError):
        return None
    return None
