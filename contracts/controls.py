"""What operators tell the mesh while it runs: values in the bucket ``CONTROLS``.

A value holds until it is replaced or deleted, across restarts and for every replica.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.channels import Channel, Priority
from contracts.messages import UtcTime

#: Of messages a second.
RATE_AT_MOST = 1_000_000

RATE_PREFIX = "rate."

#: Goes with a value: the id of the entry in the audit that it was set by.
ENTRY_HEADER = "Tocsin-Audit-Id"


class Control(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True
):
    """One operator's wish, with who made it and when."""

    by: str
    at: UtcTime
    reason: str = ""


class Pause(Control, frozen=True, tag="control.pause.v1"):
    """A lane, or a whole channel, is not to be sent from; what it holds waits."""


class BreakerOrder(StrEnum):
    """What an operator may do to a breaker."""

    OPEN = "open"  #: keep it open for as long as the order stands
    PROBE = "probe"  #: half-open it now, once
    RESET = "reset"  #: close it now, once, and forget what was counted


class BreakerOverride(Control, frozen=True, tag="control.breaker.v1"):
    """An order to one provider's breaker."""

    order: BreakerOrder


class RateLimit(Control, frozen=True, tag="control.rate.v1"):
    """What a channel or a provider may send, all dispatchers together."""

    per_second: Annotated[float, Meta(ge=0, le=RATE_AT_MOST)]  #: 0 is unlimited


AnyControl = Pause | BreakerOverride | RateLimit

_decoder: msgspec.json.Decoder[AnyControl] = msgspec.json.Decoder(AnyControl)


def decode(payload: bytes) -> AnyControl:
    """Read a control by its tag; raises ``msgspec.DecodeError``."""
    return _decoder.decode(payload)


def pause_key(channel: Channel, priority: Priority | None = None) -> str:
    """Name the pause of a lane, or of a whole channel."""
    return f"pause.{channel}" if priority is None else f"pause.{channel}.{priority}"


def breaker_key(provider: str) -> str:
    """Name the order to a provider's breaker."""
    return f"breaker.{provider}"


def channel_rate_key(channel: Channel) -> str:
    """Name the limit of a channel."""
    return f"{RATE_PREFIX}channel.{channel}"


def provider_rate_key(provider: str) -> str:
    """Name the limit of a provider, over all channels it carries."""
    return f"{RATE_PREFIX}provider.{provider}"
