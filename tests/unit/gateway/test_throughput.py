from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.channels import Channel, Priority
from contracts.mesh import LaneReading, ServiceCondition, ServiceState
from gateway.throughput import Counts, Throughput

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def state(
    instance: str = "one",
    *,
    created: int = 0,
    delivered: int = 0,
    started_at: datetime = LONG_AGO,
) -> ServiceState:
    lane = LaneReading(channel=Channel.SMS, priority=Priority.HIGH, delivered=delivered)
    rest: dict[str, Any] = {
        "service": "gateway",
        "version": "1",
        "condition": ServiceCondition.READY,
        "pid": 1,
        "at": started_at,
        "rss_bytes": 1,
        "dependencies": {},
    }
    return ServiceState(
        instance=instance,
        started_at=started_at,
        lanes=[lane, lane],
        gauges={"accepted_notifications_total": created},
        **rest,
    )


def test_what_was_counted_before_is_not_counted_again() -> None:
    throughput = Throughput()
    throughput.heard(state(created=1000, delivered=50), now=0.0)

    assert throughput.last_minute(0.0) == Counts(0, 0)


def test_rises_of_all_processes_are_added() -> None:
    throughput = Throughput()
    for instance in ("one", "two"):
        throughput.heard(state(instance, created=1000, delivered=50), now=0.0)
        throughput.heard(state(instance, created=1003, delivered=51), now=1.0)
        throughput.heard(state(instance, created=1004, delivered=51), now=2.0)

    assert throughput.last_minute(2.0) == Counts(created=8, delivered=4)


def test_a_minute_later_they_are_forgotten() -> None:
    throughput = Throughput()
    throughput.heard(state(created=0), now=0.0)
    throughput.heard(state(created=5), now=10.0)
    throughput.heard(state(created=7), now=50.0)

    assert throughput.last_minute(69.9).created == 7
    assert throughput.last_minute(70.0).created == 2
    assert throughput.last_minute(110.0).created == 0


def test_a_process_that_began_since_has_counted_from_nothing() -> None:
    throughput = Throughput()
    later = datetime.now(UTC) + timedelta(seconds=1)
    throughput.heard(state("new", created=4, started_at=later), now=1.0)

    assert throughput.last_minute(1.0).created == 4


def test_a_process_that_began_again_takes_nothing_back() -> None:
    throughput = Throughput()
    throughput.heard(state(created=100), now=0.0)
    throughput.heard(state(created=110), now=1.0)
    again = LONG_AGO + timedelta(days=1)
    throughput.heard(state(created=3, started_at=again), now=2.0)

    assert throughput.last_minute(2.0).created == 13
