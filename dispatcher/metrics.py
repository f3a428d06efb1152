"""The metrics of the dispatcher, and the counts its heartbeat carries."""

import time
from collections.abc import Collection, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.breakers import BreakerCondition
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.mesh import LaneReading
from contracts.outcomes import OutcomeClass
from dispatcher.attempts import BOUNDS, Attempts
from dispatcher.windows import Window

#: Why a message that came was not sent.
UNCLAIMED = (
    "final",
    "leased",
    "early",
    "parked",
    "expired",
    "exhausted",
    "suspect",
    "unknown",
    "malformed",
    "raced",
)
_SETTLES_TO = (Status.DELIVERED, Status.RETRYING, Status.FAILED, Status.QUEUED)
_BREAKER_VALUES = {
    BreakerCondition.CLOSED: 0,
    BreakerCondition.HALF_OPEN: 1,
    BreakerCondition.OPEN: 2,
}
_GROUP_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
#: What a lane's latency is said of.
_LATENCY_WINDOW_SECONDS = 60.0


class _LaneCounts:
    """One lane's numbers, bound once so that counting costs no look-up of labels."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.paused = False
        self.by_status = dict.fromkeys(_SETTLES_TO, 0)
        self.window = Window(_LATENCY_WINDOW_SECONDS)


def _in_flight(counts: _LaneCounts) -> float:
    return counts.in_flight


class Metrics:
    """Counts what a dispatcher does. All label sets exist from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lane_labels = ("channel", "priority")
        self.loop_errors = Counter(
            "tocsin_loop_errors_total",
            "Rounds of a loop that failed.",
            ("loop",),
            registry=registry,
        )
        claims = Counter(
            "tocsin_claims_total",
            "Notifications claimed.",
            lane_labels,
            registry=registry,
        )
        unclaimed = Counter(
            "tocsin_unclaimed_total",
            "Messages whose notification was not to be sent now, by reason.",
            ("channel", "reason"),
            registry=registry,
        )
        settlements = Counter(
            "tocsin_settlements_total",
            "Claims settled, by the status they led to.",
            (*lane_labels, "status"),
            registry=registry,
        )
        in_flight = Gauge(
            "tocsin_in_flight_notifications",
            "Notifications between claim and settlement.",
            lane_labels,
            registry=registry,
        )
        self._claim_sizes = Histogram(
            "tocsin_claim_group_size_notifications",
            "Notifications claimed by one statement.",
            buckets=_GROUP_SIZES,
            registry=registry,
        )
        self._settle_sizes = Histogram(
            "tocsin_settle_group_size_notifications",
            "Outcomes written by one statement.",
            buckets=_GROUP_SIZES,
            registry=registry,
        )
        self._settle_seconds = Histogram(
            "tocsin_settle_duration_seconds",
            "From taking a group of outcomes to its commit, repeats included.",
            buckets=BOUNDS,
            registry=registry,
        )
        self._leases_lost = Counter(
            "tocsin_leases_lost_total",
            "Leases that ended while the notification was being sent.",
            registry=registry,
        )
        self._late_outcomes = Counter(
            "tocsin_late_outcomes_total",
            "Outcomes that came after their lease was lost.",
            registry=registry,
        )
        self._outcomes_unwritten = Counter(
            "tocsin_outcomes_unwritten_total",
            "Outcomes the ledger refused or that a shutdown could not write.",
            registry=registry,
        )
        self._answers_lost = Counter(
            "tocsin_answers_lost_total",
            "Acknowledgements that could not be sent.",
            registry=registry,
        )
        self._events_lost = Counter(
            "tocsin_status_events_lost_total",
            "Status events that could not be sent.",
            registry=registry,
        )
        pulls_lost = Counter(
            "tocsin_pulls_lost_total",
            "Pull requests the bus forgot.",
            ("channel",),
            registry=registry,
        )
        pacing_waits = Counter(
            "tocsin_pacing_wait_seconds_total",
            "Time a channel had work and no token.",
            ("channel",),
            registry=registry,
        )
        self._pacing_shared = Gauge(
            "tocsin_pacing_shared",
            "1 while the rate limit is shared through Redis, 0 while it is a local share.",
            registry=registry,
        )
        self._pacing_fallbacks = Counter(
            "tocsin_pacing_fallbacks_total",
            "Times pacing fell back to a local share of the limit.",
            registry=registry,
        )
        self._breaker_state = Gauge(
            "tocsin_breaker_state",
            "0 while a provider's breaker is closed, 1 half-open, 2 open.",
            ("provider",),
            registry=registry,
        )
        self._breaker_changes = Counter(
            "tocsin_breaker_changes_total",
            "Changes of a provider's breaker, by what it became.",
            ("provider", "condition"),
            registry=registry,
        )
        self._route_share = Gauge(
            "tocsin_route_share_ratio",
            "Part of a channel's traffic that a provider gets now.",
            ("channel", "provider"),
            registry=registry,
        )
        paused = Gauge(
            "tocsin_lane_paused",
            "1 while an operator holds a lane.",
            lane_labels,
            registry=registry,
        )
        self._pacing_shared.set(1)
        for loop in (
            *(f"pump.{channel}" for channel in Channel),
            "leases",
            "progress",
            "providers",
            "routes",
        ):
            self.loop_errors.labels(loop)
        self._settlements = {
            (lane, status): settlements.labels(*lane, status)
            for lane in LANES
            for status in _SETTLES_TO
        }
        self._claims = {lane: claims.labels(*lane) for lane in LANES}
        self._unclaimed = {
            (channel, reason): unclaimed.labels(channel, reason)
            for channel in Channel
            for reason in UNCLAIMED
        }
        self._pulls_lost = {channel: pulls_lost.labels(channel) for channel in Channel}
        self._pacing_waits = {
            channel: pacing_waits.labels(channel) for channel in Channel
        }
        self._attempts = Attempts(registry)
        self._throttled_seconds = dict.fromkeys(Channel, 0.0)
        self._shares: dict[tuple[Channel, str], float] = {}
        self._paused = {lane: paused.labels(*lane) for lane in LANES}
        self._lanes = {lane: _LaneCounts() for lane in LANES}
        for lane, counts in self._lanes.items():
            in_flight.labels(*lane).set_function(partial(_in_flight, counts))

    def claimed(self, by_lane: Mapping[Lane, int]) -> None:
        """Count one claim statement and what it leased."""
        self._claim_sizes.observe(sum(by_lane.values()))
        for lane, count in by_lane.items():
            self._claims[lane].inc(count)
            self._lanes[lane].in_flight += count

    def unclaimed(self, channel: Channel, reason: str) -> None:
        """Count a message that leads to no attempt; the reason is one of ``UNCLAIMED``."""
        self._unclaimed[channel, reason].inc()

    def attempt_finished(
        self,
        lane: Lane,
        outcome: OutcomeClass,
        ended_at: float,
        duration_seconds: float,
        provider: str | None,
    ) -> None:
        """Count one attempt, and one call of its provider if there was one."""
        self._attempts.ended(lane, outcome, duration_seconds, provider)
        self._lanes[lane].window.add(
            ended_at, duration_seconds, failed=False, slow=False
        )

    def provider_attempts(self, provider: str) -> Mapping[OutcomeClass, int]:
        """Return a provider's attempts by how they ended, since the process began."""
        return self._attempts.of_provider(provider)

    def provider_used(self, provider: str) -> None:
        """Show a provider's numbers from now on, at zero."""
        self._attempts.show(provider)
        for condition in BreakerCondition:
            self._breaker_changes.labels(provider, condition)

    def provider_left(self, provider: str) -> None:
        """Show what no longer holds for a provider without a route."""
        self._breaker_state.remove(provider)

    def breaker_is(self, provider: str, condition: BreakerCondition) -> None:
        """Show a breaker's condition."""
        self._breaker_state.labels(provider).set(_BREAKER_VALUES[condition])

    def breaker_changed(self, provider: str, condition: BreakerCondition) -> None:
        """Count a change of a breaker."""
        self._breaker_changes.labels(provider, condition).inc()

    def shares_are(self, channel: Channel, shares: Mapping[str, float]) -> None:
        """Show how a channel's traffic is divided."""
        gone = {
            key for key in self._shares if key[0] is channel and key[1] not in shares
        }
        for key in gone:
            del self._shares[key]
            self._route_share.remove(*key)
        for provider, share in shares.items():
            if self._shares.get((channel, provider)) != share:
                self._shares[channel, provider] = share
                self._route_share.labels(channel, provider).set(share)

    def lanes_paused(self, channel: Channel, paused: Collection[Priority]) -> None:
        """Show which lanes of a channel an operator holds."""
        for priority in Priority:
            lane = Lane(channel, priority)
            self._lanes[lane].paused = priority in paused
            self._paused[lane].set(priority in paused)

    def released(self, by_lane: Mapping[Lane, int]) -> None:
        """Count claims out of flight, however they ended."""
        for lane, count in by_lane.items():
            self._lanes[lane].in_flight -= count

    def settled(self, lane: Lane, status: Status, count: int) -> None:
        """Count claims whose outcome is in the ledger."""
        self._settlements[lane, status].inc(count)
        self._lanes[lane].by_status[status] += count

    def settle_finished(self, size: int, duration_seconds: float) -> None:
        """Count one settle statement."""
        self._settle_sizes.observe(size)
        self._settle_seconds.observe(duration_seconds)

    def leases_lost(self, count: int) -> None:
        """Count leases that ended under a send."""
        self._leases_lost.inc(count)

    def late_outcomes(self, count: int) -> None:
        """Count outcomes that went into the trace only."""
        self._late_outcomes.inc(count)

    def outcomes_unwritten(self, count: int) -> None:
        """Count outcomes that are in no ledger."""
        self._outcomes_unwritten.inc(count)

    def answers_lost(self, count: int) -> None:
        """Count acknowledgements that could not be sent."""
        self._answers_lost.inc(count)

    def events_lost(self, count: int) -> None:
        """Count status events that could not be sent."""
        self._events_lost.inc(count)

    def pull_lost(self, channel: Channel) -> None:
        """Count a pull request that the bus forgot."""
        self._pulls_lost[channel].inc()

    def pacing_waited(self, channel: Channel, seconds: float) -> None:
        """Count time in which work waited for a token."""
        self._pacing_waits[channel].inc(seconds)
        self._throttled_seconds[channel] += seconds

    def throttled_seconds(self) -> dict[Channel, float]:
        """Return how long each channel had work and no token."""
        return dict(self._throttled_seconds)

    def pacing_fell_back(self) -> None:
        """Say that the limit is a local share from now on."""
        self._pacing_fallbacks.inc()
        self._pacing_shared.set(0)

    def pacing_shared(self) -> None:
        """Say that the limit is shared again."""
        self._pacing_shared.set(1)

    def lane_readings(self) -> list[LaneReading]:
        """Return every lane's numbers for the heartbeat."""
        now = time.monotonic()
        return [
            LaneReading(
                channel=lane.channel,
                priority=lane.priority,
                in_flight=counts.in_flight,
                attempts=self._attempts.of_lane(lane),
                delivered=counts.by_status[Status.DELIVERED],
                retried=counts.by_status[Status.RETRYING],
                failed=counts.by_status[Status.FAILED],
                paused=counts.paused,
                latency_p95_seconds=counts.window.p95_seconds(now),
            )
            for lane, counts in self._lanes.items()
        ]
