"""The state of a provider's breaker, as dispatchers share it in the bucket ``BREAKERS``."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.messages import UtcTime


class BreakerCondition(StrEnum):
    """Whether a provider is sent to."""

    CLOSED = "closed"  #: it is
    HALF_OPEN = "half_open"  #: one notification tries it
    OPEN = "open"  #: it is not


class BreakerState(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="breaker.state.v1",
    tag_field="type",
    omit_defaults=True,
):
    """What the dispatchers agree on about one provider; the first to write a change wins."""

    condition: BreakerCondition
    by: str  #: the dispatcher that wrote this; while half-open, the one that probes
    at: UtcTime
    wait_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """From hearing of this until the next probe; spans, so that clocks need not agree."""
    openings: int = 0  #: since the last success
    obeyed: UtcTime | None = None  #: the time of the last order that was carried out
