"""News of made-up meshes: factories with defaults, and a busy mesh second by second."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from console.events import (
    AnyEvent,
    BacklogRead,
    BreakerHeard,
    LaneBacklog,
    LinkAnswered,
    LinkChanged,
    LinkCondition,
    ServiceReported,
    StatusReported,
)
from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.mesh import (
    JobOutcome,
    JobReading,
    LaneReading,
    ProviderReading,
    ServiceCondition,
    ServiceState,
)
from contracts.messages import OperatorActed, StatusChanged
from contracts.outcomes import FailureClass

#: 2026-11-27 10:42:07 UTC
NOON = 1_795_776_127.0
SMS_HIGH = Lane(Channel.SMS, Priority.HIGH)

CONNECTED = LinkChanged(condition=LinkCondition.CONNECTED)
LOST = LinkChanged(
    condition=LinkCondition.RETRYING,
    attempt=3,
    retry_in_seconds=4.0,
    reason="connection refused",
)


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def notification_id(number: int) -> UUID:
    return UUID(f"019ac4c8-5d00-7000-8000-{number:012x}")


def reading(lane: Lane = SMS_HIGH, **counters: Any) -> LaneReading:
    return LaneReading(channel=lane.channel, priority=lane.priority, **counters)


def state(at: float, **changes: Any) -> ServiceState:
    values: dict[str, Any] = {
        "service": "dispatcher",
        "instance": "host-1",
        "version": "0.1.0",
        "condition": ServiceCondition.READY,
        "pid": 4711,
        "started_at": NOON - 3600,
        "rss_bytes": 61_000_000,
        "dependencies": {"postgres": "ok", "nats": "ok", "redis": "ok"},
        **changes,
    }
    values["started_at"] = moment(values["started_at"])
    return ServiceState(at=moment(at), **values)


def reported(at: float, **changes: Any) -> ServiceReported:
    return ServiceReported(state=state(at, **changes))


def breaker(
    at: float, condition: BreakerCondition = BreakerCondition.CLOSED, **changes: Any
) -> BreakerState:
    values: dict[str, Any] = {"by": "host-1", "wait_seconds": 0.0, **changes}
    return BreakerState(condition=condition, at=moment(at), **values)


def provider(name: str = "acme", **changes: Any) -> ProviderReading:
    return ProviderReading(name=name, **{"shares": {Channel.SMS: 1.0}, **changes})


def job(name: str = "reconcile", **changes: Any) -> JobReading:
    for time in ("started_at", "next_at"):
        if changes.get(time) is not None:
            changes[time] = moment(changes[time])
    return JobReading(name=name, **{"period_seconds": 30.0, **changes})


def change(at: float, number: int = 1, **changes: Any) -> StatusChanged:
    values: dict[str, Any] = {
        "notification_id": notification_id(number),
        "tenant": "default",
        "channel": Channel.SMS,
        "priority": Priority.HIGH,
        "status": Status.DELIVERED,
        "attempts": 1,
        "sequence": 4,
        "correlation_id": "c-1",
        "provider": "webhook",
        **changes,
    }
    return StatusChanged(at=moment(at), **values)


def changed(at: float, number: int = 1, **changes: Any) -> StatusReported:
    return StatusReported(change=change(at, number, **changes))


def acted(at: float = NOON, **changes: Any) -> OperatorActed:
    values: dict[str, Any] = {
        "id": notification_id(1),
        "action": "lane.paused",
        "target": "sms.low",
        "who": "ann",
        "reason": "they asked",
        "tenant": "default",
        **changes,
    }
    return OperatorActed(at=moment(at), **values)


def backlog(
    queued: dict[Lane, int] | int = 0, unacked: int = 0, **changes: Any
) -> BacklogRead:
    per_lane = queued if isinstance(queued, dict) else dict.fromkeys(LANES, queued)
    lanes = [
        LaneBacklog(
            channel=lane.channel,
            priority=lane.priority,
            queued=per_lane.get(lane, 0),
            unacked=unacked,
        )
        for lane in LANES
    ]
    return BacklogRead(lanes=lanes, **{"dead_letters": 0, **changes})


RATES = {
    Channel.EMAIL: {Priority.HIGH: 4, Priority.NORMAL: 31, Priority.LOW: 61},
    Channel.SMS: {Priority.HIGH: 9, Priority.NORMAL: 24, Priority.LOW: 0},
    Channel.PUSH: {Priority.HIGH: 2, Priority.NORMAL: 11, Priority.LOW: 0},
}
QUEUED = {
    Lane(Channel.EMAIL, Priority.NORMAL): 640,
    Lane(Channel.EMAIL, Priority.LOW): 8_140,
    Lane(Channel.SMS, Priority.NORMAL): 904,
}


#: Sends per second, share that fails, seconds of the slowest twentieth, shares of channels.
PROVIDERS: dict[str, tuple[int, float, float, dict[Channel, float]]] = {
    "acme": (31, 0.3, 4.1, {Channel.SMS: 0.95}),
    "backup": (2, 0.0, 0.21, {Channel.SMS: 0.05}),
    "smtp": (96, 0.01, 0.34, {Channel.EMAIL: 1.0}),
    "fcm": (0, 0.0, 0.0, {Channel.PUSH: 0.0}),
    "webhook": (13, 0.0, 0.06, {Channel.PUSH: 1.0}),
}
#: Jobs, their periods, and what their last run repaired.
JOBS: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("backlog", 5.0, {}),
    ("dead_letter_sweep", 3.0, {}),
    ("dead_letters", 1.0, {}),
    ("operations", 0.25, {}),
    ("orphans", 30.0, {}),
    ("outbox", 1.0, {}),
    ("partitions", 3600.0, {}),
    ("pruning", 60.0, {}),
    ("reconcile", 30.0, {"message_lost": 3, "lease_ended": 12}),
    ("redaction", 60.0, {}),
    ("release", 0.25, {}),
    ("retention", 600.0, {}),
    ("topology", 5.0, {}),
)


class BusyMesh:
    """A mesh in the middle of a campaign, the provider of SMS half broken."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._counters = {lane: [0, 0, 0] for lane in LANES}
        self._number = 0
        self._seconds = 0
        self._dead_letters = 112
        self._sent = {name: [0, 0, 0] for name in PROVIDERS}

    def second(
        self, at: float, *, scheduler_until: float = float("inf")
    ) -> Iterator[tuple[float, AnyEvent]]:
        """Tell one second, as (moment, event)."""
        self._seconds += 1
        if at < scheduler_until:
            yield (
                at,
                reported(
                    at,
                    service="scheduler",
                    instance="mesh-7c2-310",
                    pid=310,
                    jobs=self._jobs(at),
                ),
            )
        yield (
            at,
            reported(
                at,
                service="gateway",
                instance="mesh-7c2-301",
                pid=301,
                rss_bytes=74_000_000,
                gauges={"intake_waiting": 12.0, "intake_group_rows_mean": 41.5},
            ),
        )
        lanes = [self._lane(lane, at) for lane in LANES]
        yield (
            at,
            reported(
                at,
                instance="mesh-7c2-305",
                pid=305,
                lanes=lanes,
                limits=dict.fromkeys(Channel, 100.0),
                providers=[self._provider(name) for name in PROVIDERS],
                throttled_seconds={
                    **dict.fromkeys(Channel, 0.0),
                    Channel.EMAIL: 0.4 * self._seconds,
                },
                gauges={"claim_group_rows_mean": 18.2},
            ),
        )
        yield at, LinkAnswered(seconds=0.0012)
        yield from self._changes(at)
        if self._random.random() < 0.08:
            self._dead_letters += 1
        yield at, self._backlog(at)

    def _provider(self, name: str) -> ProviderReading:
        per_second, failing, latency, shares = PROVIDERS[name]
        sent = self._sent[name]
        sends = round(per_second * self._random.uniform(0.7, 1.3))
        failed = sum(self._random.random() < failing for _ in range(sends))
        sent[0] += sends
        sent[1] += failed
        sent[2] += self._random.random() < 0.2
        is_open = name == "fcm"
        return provider(
            name,
            shares=shares,
            breaker=BreakerCondition.OPEN if is_open else BreakerCondition.CLOSED,
            revision=12 if is_open else 0,
            sends=0 if is_open else sends * 10,
            failures=0 if is_open else failed * 10,
            slow=sends * 6 if latency > 2 else 0,
            latency_p95_seconds=latency * self._random.uniform(0.8, 1.2),
            rate_limit=50.0 if name == "acme" else 0.0,
            attempts=sent[0],
            failed=sent[1],
            throttled=sent[2],
        )

    def _jobs(self, at: float) -> list[JobReading]:
        readings = []
        for name, period, repairs in JOBS:
            began = at - (self._seconds * 1.0) % period - 0.2
            last = name == "retention"
            readings.append(
                job(
                    name,
                    period_seconds=period,
                    started_at=began,
                    next_at=began + period,
                    duration_seconds=0.004 * period,
                    outcome=JobOutcome.FAILED if last else JobOutcome.FINISHED,
                    error="the ledger did not answer in time" if last else "",
                    scanned=round(period * 900),
                    repaired=sum(repairs.values()),
                    why=repairs,
                    strip="...!..+............!" if last else "....................",
                )
            )
        return readings

    def _lane(self, lane: Lane, at: float) -> LaneReading:
        usual = RATES[lane.channel][lane.priority]
        wave = 1 + 0.5 * self._random.uniform(-1, 1)
        settled = round(usual * wave)
        broken = lane.channel is Channel.SMS and lane.priority is Priority.NORMAL
        failed = sum(
            self._random.random() < (0.4 if broken else 0.006) for _ in range(settled)
        )
        counters = self._counters[lane]
        counters[0] += settled - failed
        counters[1] += failed
        return reading(
            lane,
            in_flight=round(usual / 4 * wave),
            attempts=sum(counters),
            latency_p95_seconds=round(4.1 * wave if broken else 0.12 * wave, 3),
            delivered=counters[0],
            retried=counters[1],
            failed=counters[2],
        )

    def _changes(self, at: float) -> Iterator[tuple[float, AnyEvent]]:
        for lane in LANES:
            usual = RATES[lane.channel][lane.priority]
            for index in range(round(usual)):
                self._number += 1
                broken = lane == Lane(Channel.SMS, Priority.NORMAL)
                status, failure = Status.DELIVERED, None
                if self._random.random() < (0.4 if broken else 0.006):
                    status = (
                        Status.FAILED
                        if self._random.random() < 0.1
                        else Status.RETRYING
                    )
                    failure = self._random.choice(
                        [FailureClass.TRANSIENT] * 6
                        + [FailureClass.THROTTLED] * 3
                        + [FailureClass.PERMANENT]
                    )
                when = at - 1 + (index + 1) / (usual + 1)
                yield (
                    when,
                    changed(
                        when,
                        self._number,
                        channel=lane.channel,
                        priority=lane.priority,
                        status=status,
                        attempts=self._random.choice([1, 1, 1, 2, 3]),
                        failure_class=failure,
                        provider="acme" if lane.channel is Channel.SMS else "webhook",
                    ),
                )

    def _backlog(self, at: float) -> BacklogRead:
        ages = {Channel.EMAIL: 372.0, Channel.SMS: 241.0}
        lanes = [
            LaneBacklog(
                channel=lane.channel,
                priority=lane.priority,
                queued=QUEUED.get(lane, 0) + self._random.randint(0, 3),
                unacked=RATES[lane.channel][lane.priority] // 2,
                oldest_at=at - ages[lane.channel] if lane in QUEUED else None,
            )
            for lane in LANES
        ]
        return BacklogRead(
            lanes=lanes, dead_letters=self._dead_letters, status_sequence=self._number
        )


@cache
def busy(seconds: int = 150, until: float = NOON) -> list[tuple[float, AnyEvent]]:
    """Tell the last seconds of a busy mesh, in order."""
    mesh = BusyMesh()
    told: list[tuple[float, AnyEvent]] = [
        (until - seconds, CONNECTED),
        (
            until - seconds,
            BreakerHeard(
                provider="fcm",
                state=breaker(
                    until - 21, BreakerCondition.OPEN, wait_seconds=40.0, openings=3
                ),
                revision=12,
            ),
        ),
    ]
    for second in range(seconds):
        told += sorted(
            mesh.second(until - seconds + second + 1), key=lambda pair: pair[0]
        )
    return told
