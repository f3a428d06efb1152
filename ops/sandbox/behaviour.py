"""What the sandbox has been told to do with the requests it receives."""

from enum import StrEnum
from typing import Annotated

import msgspec

from contracts.channels import Channel


class Mode(StrEnum):
    ACCEPT = "accept"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"  #: hold the connection and never answer
    RESET = "reset"  #: cut the connection at once
    GARBAGE = "garbage"  #: answer with what is no HTTP


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One switch for the whole sandbox, or for one channel when `channel` is set.

    `rate` is the share of covered requests that `mode` affects; `latency_ms` is added
    to every covered request, affected or not.
    """

    mode: Mode = Mode.ACCEPT
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    latency_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    channel: Channel | None = None

    def covers(self, channel: Channel) -> bool:
        return self.channel is None or self.channel is channel

    def latency_seconds(self, channel: Channel) -> float:
        return self.latency_ms / 1000 if self.covers(channel) else 0.0
