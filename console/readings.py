"""What the views come to in a few words or one number, for screens and plain text alike."""

from collections.abc import Callable

from console import formats
from console.filters import Fields
from console.model.views import (
    FeedLine,
    JobView,
    LaneView,
    ProviderView,
    RunView,
    ServiceView,
)
from contracts.channels import Channel


def breaker_of(lane: LaneView) -> str:
    """Say how the breakers of a lane's providers are: the worst, or how many are shut."""
    if lane.breaker is None:
        return formats.UNSAID
    if 0 < lane.breakers_shut < lane.providers:
        return f"{lane.breakers_shut}/{lane.providers} shut"
    return lane.breaker


def shares_of(row: ProviderView) -> str:
    """Say which part of each channel's traffic a provider gets."""
    if len(row.shares) == len(Channel) and len(set(row.shares.values())) == 1:
        return f"all {formats.share(next(iter(row.shares.values())))}"
    return ", ".join(
        f"{channel} {formats.share(share)}" for channel, share in row.shares.items()
    )


def window_of(row: ProviderView) -> str:
    """Say how many of the sends that its breaker goes by failed."""
    if not row.sends:
        return formats.UNSAID
    return f"{formats.count(row.failures)}/{formats.count(row.sends)}"


def used_of_limit(row: ProviderView) -> float | None:
    """Return how much of its own limit a provider is sent, 0 to 1."""
    if not row.limit or row.rate is None:
        return None
    return row.rate / row.limit


PROVIDER_FIELDS: Fields[ProviderView] = {
    "provider": lambda row: row.name,
    "breaker": lambda row: row.health,
    "channel": lambda row: " ".join(row.shares),
}


JOB_FIELDS: Fields[JobView | RunView] = {
    "job": lambda row: row.name,
    "state": lambda row: row.health,
    "holder": lambda row: row.holder,
    "why": lambda row: row.words,
}

LANE_FIELDS: Fields[LaneView] = {
    "channel": lambda lane: lane.channel,
    "priority": lambda lane: lane.priority,
    "state": lambda lane: lane.health,
    "breaker": lambda lane: lane.breaker or "",
}

SERVICE_FIELDS: Fields[ServiceView] = {
    "service": lambda row: row.service,
    "instance": lambda row: row.instance,
    "state": lambda row: row.health,
    "version": lambda row: row.version,
    "settings": lambda row: row.settings_hash,
}


def _of_change(name: str) -> Callable[[FeedLine], str]:
    def read(line: FeedLine) -> str:
        value = getattr(line.change, name, None)
        return "" if value is None else str(value)

    return read


FEED_FIELDS: Fields[FeedLine] = {
    "status": lambda line: line.what,
    "channel": _of_change("channel"),
    "priority": _of_change("priority"),
    "class": _of_change("failure_class"),
    "provider": _of_change("provider"),
    "tenant": _of_change("tenant"),
    "id": lambda line: line.subject,
    "batch": _of_change("batch_id"),
    "correlation": _of_change("correlation_id"),
    "words": lambda line: line.words,
}
