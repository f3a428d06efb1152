"""The lanes: how much waits, how fast it goes, how much of it fails."""

from collections.abc import Sequence
from typing import NamedTuple

from console.events import LaneBacklog
from console.model.rings import SecondsRing
from console.model.views import Flow, LaneHealth, LaneView, ProviderHealth
from contracts.channels import Lane
from contracts.mesh import LaneReading
from contracts.outcomes import FailureClass

HISTORY_SECONDS = 300
TREND_SECONDS = 60
RATE_SECONDS = 5
FAILING_SECONDS = 60
#: A report speaks for the second before it, so the newest seconds are not complete yet.
LAG_SECONDS = 1.25
STALLED_SECONDS = 15
FAILING_SHARE = 0.2
FAILING_LEAST = 3
AT_LIMIT_SHARE = 0.95
#: A channel that lacked tokens for so much of so many seconds sends all it may.
SHORT_SECONDS = 3
SHORT_LEAST_SECONDS = 0.7


_SEVERITY = list(ProviderHealth)
_SHUT = frozenset({ProviderHealth.OPEN, ProviderHealth.HELD, ProviderHealth.HALF_OPEN})


class Around(NamedTuple):
    """What a lane cannot know by itself."""

    served: "Served | None"
    """What the dispatchers say of it; None when none of them serves the lane."""
    heard_all: bool
    """Whether every dispatcher there is has had time to report."""
    channel_share: float
    """How much of its limit the lane's channel sends; 0 without a limit."""
    limited: bool = False
    short_of_tokens: bool = False
    """Whether the channel had work and no token, just now."""
    breakers: Sequence[ProviderHealth] = ()
    """Those of the channel's providers."""


class Served(NamedTuple):
    """A lane as all dispatchers that serve it see it together."""

    in_flight: int = 0
    paused: bool = False
    latency_p95_seconds: float = 0.0

    def plus(self, reading: LaneReading) -> "Served":
        """Return this with one more dispatcher; of latencies the worst counts."""
        return Served(
            self.in_flight + reading.in_flight,
            self.paused or reading.paused,
            max(self.latency_p95_seconds, reading.latency_p95_seconds),
        )


class LaneMeter:
    """One lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._delivered = SecondsRing(HISTORY_SECONDS)
        self._failed = SecondsRing(HISTORY_SECONDS)
        self._queued = SecondsRing(HISTORY_SECONDS)
        self._failures: dict[FailureClass, SecondsRing] = {}
        self._backlog: LaneBacklog | None = None
        self._backlog_at = float("-inf")
        self._waiting_since: float | None = None

    def settled(self, now: float, span: float, amount: LaneReading) -> None:
        """Add what a dispatcher settled in the ``span`` seconds before ``now``."""
        self._delivered.spread(now - span, now, amount.delivered)
        self._failed.spread(now - span, now, amount.retried + amount.failed)

    def failed(self, now: float, failure: FailureClass) -> None:
        """Count one failure by its class."""
        ring = self._failures.setdefault(failure, SecondsRing(HISTORY_SECONDS))
        ring.add(now, 1)

    def backlog(self, now: float, backlog: LaneBacklog | None) -> None:
        """Take what the bus says of the lane; None when it has no such lane."""
        self._backlog = backlog
        self._backlog_at = now
        if backlog is None or backlog.queued == 0:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        if backlog is not None:
            self._queued.put(now, backlog.queued)

    def rate(self, now: float) -> float | None:
        """Return the attempts settled per second, lately."""
        delivered = self._delivered.mean(now - LAG_SECONDS, RATE_SECONDS)
        failed = self._failed.mean(now - LAG_SECONDS, RATE_SECONDS)
        return None if delivered is None else delivered + (failed or 0.0)

    def outcomes(self, now: float) -> tuple[float, float]:
        """Return how many attempts of the last minute succeeded and failed."""
        end = now - LAG_SECONDS + 1
        return (
            self._delivered.total(end, FAILING_SECONDS) or 0.0,
            self._failed.total(end, FAILING_SECONDS) or 0.0,
        )

    def flow(self, now: float) -> Flow:
        """Return the last minutes, second by second."""
        end = now - LAG_SECONDS
        return Flow(
            delivered=tuple(self._delivered.last(end, HISTORY_SECONDS)),
            failed=tuple(self._failed.last(end, HISTORY_SECONDS)),
            queued=tuple(self._queued.last(end, HISTORY_SECONDS)),
        )

    def view(self, now: float, around: Around) -> LaneView:
        """Draw the lane."""
        backlog, served = self._backlog, around.served
        delivered, failed = self.outcomes(now)
        attempts = delivered + failed
        rate = self.rate(now)
        oldest = backlog.oldest_at if backlog else None
        return LaneView(
            channel=self.lane.channel,
            priority=self.lane.priority,
            health=self._health(now, around, rate, delivered, failed),
            queued=backlog.queued if backlog else None,
            unacked=backlog.unacked if backlog else None,
            in_flight=served.in_flight if served else None,
            rate=rate,
            failing=failed / attempts if attempts else None,
            oldest_seconds=None if oldest is None else max(0.0, now - oldest),
            trend=self._trend(now),
            failures=self._failures_by_class(now),
            latency_p95_seconds=(served.latency_p95_seconds or None)
            if served
            else None,
            limit_share=around.channel_share if around.limited else None,
            breaker=min(around.breakers, key=_SEVERITY.index, default=None),
            breakers_shut=sum(breaker in _SHUT for breaker in around.breakers),
            providers=len(around.breakers),
        )

    def _trend(self, now: float) -> tuple[float | None, ...]:
        end = now - LAG_SECONDS
        delivered = self._delivered.last(end, TREND_SECONDS)
        failed = self._failed.last(end, TREND_SECONDS)
        return tuple(
            None if good is None else good + (bad or 0.0)
            for good, bad in zip(delivered, failed, strict=True)
        )

    def _failures_by_class(self, now: float) -> dict[FailureClass, int]:
        counts = {
            failure: round(ring.total(now + 1, HISTORY_SECONDS) or 0)
            for failure, ring in self._failures.items()
        }
        return dict(
            sorted(
                ((failure, count) for failure, count in counts.items() if count),
                key=lambda pair: -pair[1],
            )
        )

    def _health(
        self,
        now: float,
        around: Around,
        rate: float | None,
        delivered: float,
        failed: float,
    ) -> LaneHealth:
        backlog = self._backlog
        if backlog is None:
            return LaneHealth.UNKNOWN
        if around.served is None and around.heard_all:
            return LaneHealth.UNSERVED
        if around.served is not None and around.served.paused:
            return LaneHealth.PAUSED
        if self._stalled(now):
            return LaneHealth.STALLED
        if failed >= FAILING_LEAST and failed >= FAILING_SHARE * (delivered + failed):
            return LaneHealth.FAILING
        more_than_a_second = backlog.queued > max(1.0, rate or 0.0)
        sends_all = around.short_of_tokens or around.channel_share >= AT_LIMIT_SHARE
        if more_than_a_second and sends_all:
            return LaneHealth.AT_LIMIT
        if rate:
            return LaneHealth.FLOWING
        if backlog.queued + backlog.unacked > 0:
            return LaneHealth.WAITING
        return LaneHealth.IDLE

    def _stalled(self, now: float) -> bool:
        if self._waiting_since is None:
            return False
        if self._backlog_at - self._waiting_since < STALLED_SECONDS:
            return False
        end = now - LAG_SECONDS + 1
        settled = (self._delivered.total(end, STALLED_SECONDS) or 0.0) + (
            self._failed.total(end, STALLED_SECONDS) or 0.0
        )
        return settled == 0
