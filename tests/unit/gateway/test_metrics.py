import pytest
from prometheus_client import CollectorRegistry

from contracts.channels import LANES
from contracts.problems import ProblemType
from gateway.metrics import LeftBecause, Metrics, StatusClass
from gateway.routing import RouteName


def test_every_series_is_there_from_the_start_and_has_our_prefix() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }

    assert all(name.startswith("tocsin_") for name, *_ in values)
    assert set(values.values()) == {0.0}
    expected = [
        *(
            ("tocsin_requests_total", route, status_class)
            for route in RouteName
            for status_class in StatusClass
        ),
        *(("tocsin_refusals_total", problem.slug) for problem in ProblemType),
        *(("tocsin_notifications_accepted_total", *lane) for lane in LANES),
        *(("tocsin_outbox_groups_left_total", because) for because in LeftBecause),
    ]
    assert set(expected) <= set(values)


@pytest.mark.parametrize(
    ("status", "status_class"), [(202, "2xx"), (404, "4xx"), (503, "5xx")]
)
def test_answers_are_counted_by_the_class_of_their_status(
    status: int, status_class: str
) -> None:
    registry = CollectorRegistry()
    Metrics(registry).request_finished(RouteName.CREATE_BATCH, status, 0.02)

    labels = {"route": "create_batch", "status_class": status_class}
    assert registry.get_sample_value("tocsin_requests_total", labels) == 1


def test_accepted_notifications_are_counted_by_lane() -> None:
    registry = CollectorRegistry()
    Metrics(registry).group_committed([LANES[0], LANES[0], LANES[4]], 0.01)

    for lane, count in ((LANES[0], 2), (LANES[4], 1), (LANES[5], 0)):
        labels = {"channel": str(lane.channel), "priority": str(lane.priority)}
        name = "tocsin_notifications_accepted_total"
        assert registry.get_sample_value(name, labels) == count
