"""What a client of a WebSocket may say."""

from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Channel
from contracts.lifecycle import Status
from gateway.errors import Refusal
from gateway.live.watch import Filter
from gateway.validation import channel_of, parse_uuid


class BadCommand(Exception):
    """A frame that is no command; its words are for the client."""


class Notification(NamedTuple):
    """One notification."""

    id: UUID


class Batch(NamedTuple):
    """Every notification of a batch."""

    id: UUID


Target = Notification | Batch | Filter


class Command(NamedTuple):
    """What to do, and with what."""

    follows: bool
    target: Target


class _Frame(msgspec.Struct):
    action: Literal["subscribe", "unsubscribe"]
    notification_id: str | None = None
    batch_id: str | None = None
    channel: str | None = None
    status: str | None = None


_decoder = msgspec.json.Decoder(_Frame)


def read_command(text: str | None) -> Command:
    """Read a text frame; ``BadCommand`` when it is none. None stands for a binary one."""
    if text is None:
        raise BadCommand("send text frames")
    try:
        frame = _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadCommand(str(error)) from None
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise BadCommand("the frame is not JSON") from None
    except RecursionError:
        raise BadCommand("the frame is nested too deeply") from None
    return Command(frame.action == "subscribe", _target(frame))


def _target(frame: _Frame) -> Target:
    named = [
        frame.notification_id is not None,
        frame.batch_id is not None,
        frame.channel is not None or frame.status is not None,
    ]
    if sum(named) != 1:
        raise BadCommand("name one of notification_id, batch_id, or channel and status")
    if frame.notification_id is not None:
        return Notification(_uuid("notification_id", frame.notification_id))
    if frame.batch_id is not None:
        return Batch(_uuid("batch_id", frame.batch_id))
    return Filter(_channel(frame.channel), _status(frame.status))


def _uuid(name: str, text: str) -> UUID:
    id_ = parse_uuid(text)
    if id_ is None:
        raise BadCommand(f"{name} is not a UUID")
    return id_


def _channel(text: str | None) -> Channel | None:
    try:
        return None if text is None else channel_of(text, "/channel")
    except Refusal:
        raise BadCommand("channel is none of sms, email, push") from None


def _status(text: str | None) -> Status | None:
    try:
        return None if text is None else Status(text)
    except ValueError:
        raise BadCommand(f"status is none of {', '.join(Status)}") from None
