"""How lanes, providers and limits stand: what dispatchers say, beside what operators said."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contracts import controls
from contracts.breakers import BreakerState
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.controls import AnyControl, BreakerOverride, Pause, RateLimit
from contracts.mesh import ProviderReading, ServiceState
from contracts.oversight import (
    LaneStanding,
    LimitStanding,
    Override,
    ProcessStanding,
    ProviderStanding,
    target_of_lane,
)

_breaker = msgspec.json.Decoder(BreakerState)


def read_controls(held: Mapping[str, bytes]) -> dict[str, AnyControl]:
    """Read the values of the bucket; one that cannot be read stands for nothing."""
    read: dict[str, AnyControl] = {}
    for key, payload in held.items():
        try:
            read[key] = controls.decode(payload)
        except msgspec.DecodeError:
            continue
    return read


def lanes(
    waiting: Mapping[Lane, int],
    dispatchers: Sequence[ServiceState],
    standing: Mapping[str, AnyControl],
) -> list[LaneStanding]:
    """Return every lane. A limit is what an operator set, or else what dispatchers tell."""
    held: Counter[Lane] = Counter()
    told: dict[Channel, float] = {}
    for state in dispatchers:
        told.update(state.limits)
        for reading in state.lanes:
            held[Lane(reading.channel, reading.priority)] += reading.in_flight
    return [
        _lane(lane, waiting.get(lane, 0), held[lane], told, standing) for lane in LANES
    ]


def _lane(
    lane: Lane,
    queued: int,
    in_flight: int,
    told: Mapping[Channel, float],
    standing: Mapping[str, AnyControl],
) -> LaneStanding:
    pause, target = _pause(lane, standing)
    limit = told.get(lane.channel)
    ordered = standing.get(controls.channel_rate_key(lane.channel))
    if isinstance(ordered, RateLimit):
        limit = ordered.per_second or None
    return LaneStanding(
        channel=lane.channel,
        priority=lane.priority,
        queued=queued,
        in_flight=in_flight,
        paused=pause is not None,
        paused_as=target,
        paused_by=pause.by if pause else None,
        paused_why=pause.reason if pause else None,
        paused_at=pause.at if pause else None,
        limit_per_second=limit,
    )


def _pause(
    lane: Lane, standing: Mapping[str, AnyControl]
) -> tuple[Pause | None, str | None]:
    """Return the pause that keeps a lane, and what it is a pause of; the channel's first."""
    priorities: tuple[Priority | None, ...] = (None, lane.priority)
    for priority in priorities:
        control = standing.get(controls.pause_key(lane.channel, priority))
        if isinstance(control, Pause):
            return control, target_of_lane(lane.channel, priority)
    return None, None


def providers(
    dispatchers: Sequence[ProcessStanding],
    standing: Mapping[str, AnyControl],
    shared: Mapping[str, bytes],
) -> list[ProviderStanding]:
    """Return every provider that dispatchers tell of; ``shared`` is the bucket ``BREAKERS``.

    Counts belong to a state of the breaker: only those of the newest are added up.
    """
    living = _by_name(each.state for each in dispatchers if not each.lost)
    lost = _by_name(each.state for each in dispatchers if each.lost)
    return [
        _provider(
            name,
            living.get(name) or lost[name],
            standing,
            shared.get(name),
            lost=name not in living,
        )
        for name in sorted(living.keys() | lost.keys())
    ]


def _by_name(states: Iterable[ServiceState]) -> dict[str, list[ProviderReading]]:
    told: dict[str, list[ProviderReading]] = {}
    for state in states:
        for reading in state.providers:
            told.setdefault(reading.name, []).append(reading)
    return told


def _provider(
    name: str,
    readings: Sequence[ProviderReading],
    standing: Mapping[str, AnyControl],
    shared: bytes | None,
    *,
    lost: bool,
) -> ProviderStanding:
    newest = max(readings, key=lambda reading: reading.revision)
    counted = [r for r in readings if r.revision == newest.revision]
    order = standing.get(controls.breaker_key(name))
    limit = standing.get(controls.provider_rate_key(name))
    per_second = limit.per_second if isinstance(limit, RateLimit) else newest.rate_limit
    return ProviderStanding(
        provider=name,
        shares=newest.shares,
        breaker=newest.breaker,
        forced=newest.forced,
        sends=sum(reading.sends for reading in counted),
        failures=sum(reading.failures for reading in counted),
        lost=lost,
        since=None if shared is None else _breaker.decode(shared).at,
        override=Override(
            order=order.order, by=order.by, at=order.at, reason=order.reason
        )
        if isinstance(order, BreakerOverride)
        else None,
        rate_limit=per_second or None,
    )


def limits(standing: Mapping[str, AnyControl]) -> list[LimitStanding]:
    """Return the limits that operators have set."""
    prefix = controls.RATE_PREFIX
    return [
        LimitStanding(
            target=key.removeprefix(prefix),
            per_second=control.per_second,
            by=control.by,
            at=control.at,
            reason=control.reason,
        )
        for key, control in sorted(standing.items())
        if isinstance(control, RateLimit) and key.startswith(prefix)
    ]
