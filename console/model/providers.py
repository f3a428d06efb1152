"""The providers: what the dispatchers say of each, and what they agreed on about its breaker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from console.model.lanes import (
    FAILING_SECONDS,
    LAG_SECONDS,
    RATE_SECONDS,
)
from console.model.rings import SecondsRing
from console.model.views import (
    ProviderFlow,
    ProviderHealth,
    ProviderSaid,
    ProviderView,
)
from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel
from contracts.mesh import ProviderReading, ServiceState

HISTORY_SECONDS = 15 * 60


class Spoken(NamedTuple):
    """The last state of a process, and whether it is still heard."""

    state: ServiceState
    heard_at: float
    live: bool


@dataclass
class _Agreed:
    state: BreakerState
    revision: int


class _Meter:
    """What went through one provider, second by second."""

    def __init__(self) -> None:
        self.accepted = SecondsRing(HISTORY_SECONDS)
        self.failed = SecondsRing(HISTORY_SECONDS)
        self.throttled = SecondsRing(HISTORY_SECONDS)
        self.latency = SecondsRing(HISTORY_SECONDS)


class ProviderBook:
    """Every provider that a dispatcher which was not told to stop has spoken of."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}
        self._agreed: dict[str, _Agreed] = {}

    def agreed(self, provider: str, state: BreakerState | None, revision: int) -> None:
        """Take what the dispatchers agreed on; None when they forgot it."""
        if state is None:
            self._agreed.pop(provider, None)
        else:
            self._agreed[provider] = _Agreed(state, revision)

    def settled(
        self, now: float, span: float, added: Iterable[ProviderReading]
    ) -> None:
        """Add what a dispatcher sent in the ``span`` seconds before ``now``."""
        for amount in added:
            meter = self._meter(amount.name)
            good = amount.attempts - amount.failed
            meter.accepted.spread(now - span, now, good)
            meter.failed.spread(now - span, now, amount.failed)
            meter.throttled.spread(now - span, now, amount.throttled)

    def said(self, now: float, readings: Iterable[ProviderReading]) -> None:
        """Take the latencies one dispatcher measured; the slowest of a second counts."""
        for reading in readings:
            if reading.sends:
                ring = self._meter(reading.name).latency
                before = ring.last(int(now) + 1, 1)[0] or 0.0
                ring.put(now, max(before, reading.latency_p95_seconds))

    def keep_only(self, spoken: Sequence[Spoken]) -> None:
        """Forget the providers that nobody speaks of any more."""
        names = {reading.name for one in spoken for reading in one.state.providers}
        for name in self._meters.keys() - names:
            del self._meters[name]

    def views(self, now: float, spoken: Sequence[Spoken]) -> tuple[ProviderView, ...]:
        """Draw every provider, in the order the dispatchers name them."""
        by_name: dict[str, list[tuple[Spoken, ProviderReading]]] = {}
        for one in sorted(spoken, key=lambda one: one.state.instance):
            for reading in one.state.providers:
                by_name.setdefault(reading.name, []).append((one, reading))
        return tuple(self._view(now, name, said) for name, said in by_name.items())

    def flow(self, provider: str, now: float) -> ProviderFlow:
        """Return the last quarter of an hour."""
        meter, end = self._meters.get(provider) or _Meter(), now - LAG_SECONDS
        return ProviderFlow(
            until=int(end),
            latency_p95_seconds=tuple(meter.latency.last(end, HISTORY_SECONDS)),
            accepted=tuple(meter.accepted.last(end, HISTORY_SECONDS)),
            failed=tuple(meter.failed.last(end, HISTORY_SECONDS)),
        )

    def _meter(self, provider: str) -> _Meter:
        return self._meters.setdefault(provider, _Meter())

    def _view(
        self, now: float, name: str, said: Sequence[tuple[Spoken, ProviderReading]]
    ) -> ProviderView:
        live = [reading for one, reading in said if one.live]
        newest = [r for r in live if r.revision == max(x.revision for x in live)]
        agreed = self._agreed.get(name)
        if agreed is not None and any(r.revision > agreed.revision for r in live):
            agreed = None  # the dispatchers are further than what was read here
        health = _health(newest, agreed)
        sends = sum(reading.sends for reading in newest)
        accepted, failed, throttled = self._lately(name, now)
        attempts = accepted + failed
        return ProviderView(
            name=name,
            health=health,
            since_seconds=_age(now, agreed),
            next_probe_seconds=_until_probe(now, agreed, health),
            openings=agreed.state.openings if agreed else 0,
            sends=sends,
            failures=sum(reading.failures for reading in newest),
            slow=sum(reading.slow for reading in newest),
            shares=_shares(live),
            rate=self._rate(name, now),
            limit=max((r.rate_limit for r in live), default=0.0) or None,
            failing=failed / attempts if attempts else None,
            throttled=round(throttled),
            latency_p95_seconds=max(r.latency_p95_seconds for r in newest)
            if sends
            else None,
            heard_seconds=max(0.0, now - max(one.heard_at for one, _ in said)),
            said=tuple(
                ProviderSaid(instance=one.state.instance, reading=reading)
                for one, reading in said
                if one.live or not live
            ),
        )

    def _lately(self, name: str, now: float) -> tuple[float, float, float]:
        meter, end = self._meters.get(name) or _Meter(), now - LAG_SECONDS + 1
        return (
            meter.accepted.total(end, FAILING_SECONDS) or 0.0,
            meter.failed.total(end, FAILING_SECONDS) or 0.0,
            meter.throttled.total(end, FAILING_SECONDS) or 0.0,
        )

    def _rate(self, name: str, now: float) -> float | None:
        meter = self._meters.get(name)
        if meter is None:
            return None
        accepted = meter.accepted.mean(now - LAG_SECONDS, RATE_SECONDS)
        failed = meter.failed.mean(now - LAG_SECONDS, RATE_SECONDS)
        return None if accepted is None else accepted + (failed or 0.0)


_HEALTH = {
    BreakerCondition.OPEN: ProviderHealth.OPEN,
    BreakerCondition.HALF_OPEN: ProviderHealth.HALF_OPEN,
    BreakerCondition.CLOSED: ProviderHealth.CLOSED,
}


def _health(
    newest: Sequence[ProviderReading], agreed: _Agreed | None
) -> ProviderHealth:
    if not newest:
        return ProviderHealth.UNKNOWN
    if any(reading.forced for reading in newest):
        return ProviderHealth.HELD
    if agreed is not None:
        return _HEALTH[agreed.state.condition]
    return _HEALTH[newest[0].breaker]


def _age(now: float, agreed: _Agreed | None) -> float | None:
    return None if agreed is None else max(0.0, now - agreed.state.at.timestamp())


def _until_probe(
    now: float, agreed: _Agreed | None, health: ProviderHealth
) -> float | None:
    if agreed is None or health is not ProviderHealth.OPEN:
        return None
    due = agreed.state.at.timestamp() + agreed.state.wait_seconds
    return max(0.0, due - now)


def _shares(live: Sequence[ProviderReading]) -> dict[Channel, float]:
    """Return the mean of what the dispatchers say, for each channel that any names."""
    said: dict[Channel, list[float]] = {}
    for reading in live:
        for channel, share in reading.shares.items():
            said.setdefault(channel, []).append(share)
    return {channel: sum(said[channel]) / len(said[channel]) for channel in said}
