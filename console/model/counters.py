"""Turns the rising counters of processes into what happened between two reports."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from contracts.channels import Channel, Lane
from contracts.mesh import LaneReading, ProviderReading, ServiceState

#: What was counted over a longer silence cannot be said to have come in any one second.
LONGEST_SPREAD_SECONDS = 5.0

_LANE_COUNTS = ("delivered", "retried", "failed")
_PROVIDER_COUNTS = ("attempts", "failed", "throttled")

_Reading = TypeVar("_Reading", LaneReading, ProviderReading)


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What happened in the ``span`` seconds before a report; nothing when that is 0."""

    span: float = 0.0
    lanes: dict[Lane, LaneReading] = field(default_factory=dict)
    providers: dict[str, ProviderReading] = field(default_factory=dict)
    throttled_seconds: dict[Channel, float] = field(default_factory=dict)


class Counters:
    """Remembers the last report of each process.

    Counters only rise while a process lives. A process that was restarted, or whose numbers
    fell, counts from zero again; one that was running before anybody listened only gives a
    mark to count from.
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], ServiceState] = {}

    def amounts(self, state: ServiceState, listening_seconds: float) -> Amounts:
        """Return what happened since the report before.

        Nothing when there is nothing to count from, when the report is no newer than one
        already counted, and when the silence before it was too long.
        """
        name = (state.service, state.instance)
        before = self._marks.get(name)
        mark = before
        if before is not None and before.started_at == state.started_at:
            span = (state.at - before.at).total_seconds()
            longest = LONGEST_SPREAD_SECONDS
        else:
            span = (state.at - state.started_at).total_seconds()
            longest = min(listening_seconds, LONGEST_SPREAD_SECONDS)
            mark = None
        if before is None or state.at > before.at:
            self._marks[name] = state
        if not 0 < span <= longest:
            return Amounts()
        return _between(mark, state, span)

    def keep_only(self, names: Set[tuple[str, str]]) -> None:
        """Forget the processes that are gone for good."""
        for name in self._marks.keys() - names:
            del self._marks[name]


def lane_of(reading: LaneReading) -> Lane:
    """Return the lane a reading is of."""
    return Lane(reading.channel, reading.priority)


def _between(mark: ServiceState | None, state: ServiceState, span: float) -> Amounts:
    lanes = {lane_of(r): r for r in mark.lanes} if mark else {}
    providers = {r.name: r for r in mark.providers} if mark else {}
    waited = mark.throttled_seconds if mark else {}
    return Amounts(
        span=span,
        lanes={
            lane_of(r): _risen(r, lanes.get(lane_of(r)), _LANE_COUNTS)
            for r in state.lanes
        },
        providers={
            r.name: _risen(r, providers.get(r.name), _PROVIDER_COUNTS)
            for r in state.providers
        },
        throttled_seconds={
            channel: max(0.0, seconds - waited.get(channel, 0.0))
            for channel, seconds in state.throttled_seconds.items()
        },
    )


def _risen(now: _Reading, before: _Reading | None, counts: tuple[str, ...]) -> _Reading:
    """Return the reading with what was added to its counts."""
    if before is None:
        return now
    added = {name: getattr(now, name) - getattr(before, name) for name in counts}
    if any(amount < 0 for amount in added.values()):
        return now
    return msgspec.structs.replace(now, **added)
