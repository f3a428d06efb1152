"""What a dispatcher's metrics show before anything has happened."""

from prometheus_client import CollectorRegistry

from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.outcomes import OutcomeClass
from dispatcher.metrics import UNCLAIMED, Metrics

LANE = Lane(Channel.SMS, Priority.HIGH)


def test_every_label_set_is_there_at_zero() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    for channel, priority in LANES:
        lane: dict[str, str] = {"channel": channel, "priority": priority}
        for outcome in OutcomeClass:
            assert value("tocsin_attempts_total", **lane, outcome=outcome) == 0
        assert value("tocsin_claims_total", **lane) == 0
        assert value("tocsin_in_flight", **lane) == 0
    for channel in Channel:
        assert value("tocsin_loop_errors_total", loop=f"pump.{channel}") == 0
        for reason in UNCLAIMED:
            assert value("tocsin_unclaimed_total", channel=channel, reason=reason) == 0
    assert value("tocsin_pacing_shared") == 1


def test_the_heartbeat_counts_what_the_metrics_count() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.claimed({LANE: 3})
    metrics.attempt_finished(LANE, OutcomeClass.DELIVERED, 0.1)
    metrics.attempt_finished(LANE, OutcomeClass.TRANSIENT, 0.1)
    metrics.settled(LANE, Status.DELIVERED)
    metrics.settled(LANE, Status.RETRYING)
    metrics.released(LANE)
    metrics.released(LANE)

    assert len(metrics.lane_readings()) == len(LANES)
    [reading] = [r for r in metrics.lane_readings() if r.attempts]
    assert (reading.channel, reading.priority, reading.in_flight) == (*LANE, 1)
    assert (reading.delivered, reading.retried, reading.failed) == (1, 1, 0)
