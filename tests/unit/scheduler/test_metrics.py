from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from contracts.channels import LANES
from contracts.mesh import JobOutcome
from contracts.outcomes import FailureClass
from scheduler.advisories import AdvisoryKind
from scheduler.jobs import JobName
from scheduler.metrics import Metrics
from scheduler.rows import Backlog, Why


def test_every_series_is_there_from_the_start():
    registry = CollectorRegistry()
    Metrics(registry)

    def series(name: str) -> int:
        lines = generate_latest(registry).decode().splitlines()
        return sum(line.startswith(f"tocsin_scheduler_{name}") for line in lines)

    assert series("loop_errors_total{") == len(JobName) + 2
    assert series("job_runs_total{") == len(JobName) * len(JobOutcome)
    assert series("job_duration_seconds_count{") == len(JobName)
    assert series("job_held{") == len(JobName)
    assert series("released_total{") == len(LANES)
    assert series("reconcile_repaired_total{") == len(Why)
    assert series("dead_letters_published_total{") == len(FailureClass)
    assert series("advisories_total{") == len(AdvisoryKind)


def test_the_backlog_shows_zero_where_another_process_counts():
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    latest: list[Backlog | None] = [None]
    metrics.show_backlog(lambda: latest[0])

    assert registry.get_sample_value("tocsin_scheduler_due_notifications") == 0
    latest[0] = Backlog(due=3, waiting=5, outbox_groups=1)
    assert registry.get_sample_value("tocsin_scheduler_due_notifications") == 3
    assert registry.get_sample_value("tocsin_scheduler_waiting_notifications") == 5
