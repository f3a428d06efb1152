"""What a dispatcher's metrics show before anything has happened."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from contracts.breakers import BreakerCondition
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.outcomes import OutcomeClass
from dispatcher.metrics import UNCLAIMED, Metrics

LANE = Lane(Channel.SMS, Priority.HIGH)


def attempted(
    metrics: Metrics,
    outcome: OutcomeClass,
    seconds: float = 0.1,
    provider: str | None = None,
) -> None:
    metrics.attempt_finished(LANE, outcome, time.monotonic(), seconds, provider)


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
        assert value("tocsin_in_flight_notifications", **lane) == 0
    for channel in Channel:
        assert value("tocsin_loop_errors_total", loop=f"pump.{channel}") == 0
        for reason in UNCLAIMED:
            assert value("tocsin_unclaimed_total", channel=channel, reason=reason) == 0
    assert value("tocsin_pacing_shared") == 1
    assert value("tocsin_lane_paused", channel="sms", priority="high") == 0


def test_a_provider_s_numbers_are_there_once_it_is_used() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.provider_used("acme")
    metrics.breaker_is("acme", BreakerCondition.HALF_OPEN)
    metrics.shares_are(Channel.SMS, {"acme": 0.25, "other": 0.75})
    metrics.shares_are(Channel.SMS, {"acme": 1.0})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"provider": "acme", **labels})

    assert value("tocsin_provider_attempts_total", outcome="delivered") == 0
    assert value("tocsin_breaker_changes_total", condition="open") == 0
    assert value("tocsin_breaker_state") == 1
    assert value("tocsin_route_share_ratio", channel="sms") == 1
    other = value("tocsin_route_share_ratio", channel="sms", provider="other")
    assert other is None
    metrics.provider_left("acme")
    assert value("tocsin_breaker_state") is None


def test_the_heartbeat_counts_what_the_metrics_count() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.lanes_paused(LANE.channel, {LANE.priority})
    metrics.claimed({LANE: 3})
    attempted(metrics, OutcomeClass.DELIVERED)
    attempted(metrics, OutcomeClass.TRANSIENT)
    metrics.settled(LANE, Status.DELIVERED, 1)
    metrics.settled(LANE, Status.RETRYING, 1)
    metrics.released({LANE: 2})

    assert len(metrics.lane_readings()) == len(LANES)
    [reading] = [r for r in metrics.lane_readings() if r.attempts]
    assert (reading.channel, reading.priority, reading.in_flight) == (*LANE, 1)
    assert (
        [r.paused for r in metrics.lane_readings()].count(True) == reading.paused == 1
    )
    assert (reading.delivered, reading.retried, reading.failed) == (1, 1, 0)


def test_the_heartbeat_says_how_long_a_lane_s_attempts_took() -> None:
    metrics = Metrics(CollectorRegistry())
    for _ in range(94):
        attempted(metrics, OutcomeClass.DELIVERED)
    for _ in range(6):
        attempted(metrics, OutcomeClass.DELIVERED, 4.0)

    said = {
        Lane(r.channel, r.priority): r.latency_p95_seconds
        for r in metrics.lane_readings()
    }

    assert 4.0 <= said.pop(LANE) <= 5.0
    assert set(said.values()) == {0.0}


def test_a_provider_s_attempts_are_counted_by_how_they_ended() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.provider_used("acme")
    attempted(metrics, OutcomeClass.DELIVERED, provider="acme")
    attempted(metrics, OutcomeClass.THROTTLED, provider="acme")
    attempted(metrics, OutcomeClass.THROTTLED, provider="acme")
    metrics.provider_used("acme")  # its route was read again

    counts = metrics.provider_attempts("acme")

    assert counts[OutcomeClass.THROTTLED] == 2
    assert sum(counts.values()) == 3


def test_attempts_are_shown_by_lane_by_provider_and_by_how_long_they_took() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.provider_used("acme")
    for seconds in (0.004, 0.005, 0.3, 60.0):
        attempted(metrics, OutcomeClass.TRANSIENT, seconds, "acme")
    attempted(metrics, OutcomeClass.UNROUTABLE, 0.0)

    shown = generate_latest(registry).decode()

    sms, name = 'channel="sms"', "tocsin_attempt_duration_seconds"
    lane = f'{sms},outcome="transient",priority="high"'
    assert f"tocsin_attempts_total{{{lane}}} 4.0\n" in shown
    provider = 'outcome="transient",provider="acme"'
    assert f"tocsin_provider_attempts_total{{{provider}}} 4.0\n" in shown
    for bound, count in (("0.005", 3), ("0.25", 3), ("0.5", 4), ("10.0", 4)):
        assert f'{name}_bucket{{{sms},le="{bound}"}} {count}.0\n' in shown
    assert f'{name}_bucket{{{sms},le="+Inf"}} 5.0\n' in shown
    assert f"{name}_count{{{sms}}} 5.0\n" in shown
    assert f"{name}_sum{{{sms}}} 60.309\n" in shown


def test_waiting_for_tokens_adds_up() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.pacing_waited(Channel.SMS, 0.5)
    metrics.pacing_waited(Channel.SMS, 1.0)

    assert metrics.throttled_seconds() == {
        **dict.fromkeys(Channel, 0.0),
        Channel.SMS: 1.5,
    }
