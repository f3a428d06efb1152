"""The lanes: how much waits, how fast it goes, how much of it fails."""

from collections.abc import Set
from typing import NamedTuple

from console.events import LaneBacklog
from console.model.rings import SecondsRing
from console.model.views import Flow, LaneHealth, LaneView
from contracts.channels import Lane
from contracts.mesh import LaneReading, ServiceState
from contracts.outcomes import FailureClass

HISTORY_SECONDS = 300
TREND_SECONDS = 60
RATE_SECONDS = 5
FAILING_SECONDS = 60
#: A report speaks for the second before it, so the newest seconds are not complete yet.
LAG_SECONDS = 1.25
#: What was counted over a longer silence cannot be said to have come in any one second.
LONGEST_SPREAD_SECONDS = 5.0
STALLED_SECONDS = 15
FAILING_SHARE = 0.2
FAILING_LEAST = 3
AT_LIMIT_SHARE = 0.95


class Counters:
    """Turns the rising counters of processes into amounts.

    Counters only rise while a process lives. A process that was restarted, or whose numbers
    fell, counts from zero again; one that was running before anybody listened only gives a
    mark to count from.
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], ServiceState] = {}

    def amounts(
        self, state: ServiceState, listening_seconds: float
    ) -> tuple[float, dict[Lane, LaneReading]]:
        """Return the span in seconds that a report speaks for, and what happened in it.

        Empty when there is nothing to count from, when the report is no newer than one
        already counted, and when the silence before it was too long.
        """
        name = (state.service, state.instance)
        before = self._marks.get(name)
        if before is not None and before.started_at == state.started_at:
            span = (state.at - before.at).total_seconds()
            longest = LONGEST_SPREAD_SECONDS
            marks = {_lane(reading): reading for reading in before.lanes}
        else:
            span = (state.at - state.started_at).total_seconds()
            longest = min(listening_seconds, LONGEST_SPREAD_SECONDS)
            marks = {}
        if before is None or state.at > before.at:
            self._marks[name] = state
        if not 0 < span <= longest:
            return 0.0, {}
        return span, {
            _lane(reading): _risen(reading, marks.get(_lane(reading)))
            for reading in state.lanes
        }

    def keep_only(self, names: Set[tuple[str, str]]) -> None:
        """Forget the processes that are gone for good."""
        for name in self._marks.keys() - names:
            del self._marks[name]


def _lane(reading: LaneReading) -> Lane:
    return Lane(reading.channel, reading.priority)


def _risen(now: LaneReading, before: LaneReading | None) -> LaneReading:
    if before is None:
        return now
    counted = (now.delivered, now.retried, now.failed)
    marks = (before.delivered, before.retried, before.failed)
    if any(new < old for new, old in zip(counted, marks, strict=True)):
        return now
    delivered, retried, failed = (
        new - old for new, old in zip(counted, marks, strict=True)
    )
    return LaneReading(
        channel=now.channel,
        priority=now.priority,
        delivered=delivered,
        retried=retried,
        failed=failed,
    )


class Around(NamedTuple):
    """What a lane cannot know by itself."""

    in_flight: int | None
    """What dispatchers are sending now; None when none of them serves the lane."""
    heard_all: bool
    """Whether every dispatcher there is has had time to report."""
    channel_share: float
    """How much of its limit the lane's channel sends; 0 without a limit."""


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
        backlog = self._backlog
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
            in_flight=around.in_flight,
            rate=rate,
            failing=failed / attempts if attempts else None,
            oldest_seconds=None if oldest is None else max(0.0, now - oldest),
            trend=self._trend(now),
            failures=self._failures_by_class(now),
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
        if around.in_flight is None and around.heard_all:
            return LaneHealth.UNSERVED
        if self._stalled(now):
            return LaneHealth.STALLED
        if failed >= FAILING_LEAST and failed >= FAILING_SHARE * (delivered + failed):
            return LaneHealth.FAILING
        more_than_a_second = backlog.queued > max(1.0, rate or 0.0)
        if more_than_a_second and around.channel_share >= AT_LIMIT_SHARE:
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
