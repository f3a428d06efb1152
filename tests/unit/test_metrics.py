"""What holds for the metrics of every service before anything has happened."""

from collections.abc import Iterable, Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from contracts.breakers import BreakerCondition
from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.mesh import JobOutcome
from contracts.operations import OperationKind
from contracts.outcomes import FailureClass, OutcomeClass
from contracts.oversight import Action, Effect
from contracts.problems import ProblemType
from dispatcher import metrics as of_dispatcher
from gateway import metrics as of_gateway
from gateway.live.metrics import LiveMetrics, Transport
from gateway.receipts.readings import ReceiptOutcome
from gateway.receipts.sources import ReceiptForm
from gateway.routing import RouteName
from ops.sandbox import metrics as of_sandbox
from ops.sandbox.answers import ANSWERS
from scheduler import metrics as of_scheduler
from scheduler.advisories import AdvisoryKind
from scheduler.jobs import JobName
from scheduler.rows import Backlog, Why

PROVIDER = "acme"

UNITS = (
    "seconds",
    "notifications",
    "submissions",
    "messages",
    "groups",
    "rows",
    "clients",
    "subscriptions",
    "subjects",
    "ratio",
)

#: What each label may say; where several enumerations go by a name, a metric keeps to one.
VALUES: dict[str, tuple[Iterable[str], ...]] = {
    "action": (Action,),
    "answer": ([answer.label for answer in ANSWERS],),
    "because": (of_gateway.LeftBecause, of_gateway.SpoolRefusal),
    "channel": (Channel, [*Channel, of_sandbox.UNREADABLE]),
    "class": (FailureClass,),
    "condition": (BreakerCondition,),
    "effect": (Effect,),
    "form": (ReceiptForm,),
    "job": (JobName,),
    "kind": (AdvisoryKind, OperationKind),
    "loop": (
        ["audit"],
        [
            *(f"pump.{channel}" for channel in Channel),
            "leases",
            "progress",
            "providers",
            "routes",
        ],
        [*JobName, of_scheduler.RECORDING, of_scheduler.SPOOL_DEPTH],
    ),
    "outcome": (
        JobOutcome,
        OutcomeClass,
        [*ReceiptOutcome, "refused"],
        of_gateway.Recall,
        of_scheduler.SpoolOutcome,
    ),
    "priority": (Priority,),
    "problem": ([problem.slug for problem in ProblemType],),
    "provider": ([PROVIDER],),
    "reason": (of_dispatcher.UNCLAIMED,),
    "route": (RouteName,),
    "status": (Status,),
    "status_class": (of_gateway.StatusClass,),
    "table": (of_scheduler.Table, of_scheduler.KeptTable),
    "transport": (Transport,),
    "why": (Why,),
}


def gateway() -> Iterable[Metric]:
    registry = CollectorRegistry()
    of_gateway.Metrics(registry)
    LiveMetrics(registry)
    return registry.collect()


def dispatcher() -> Iterable[Metric]:
    registry = CollectorRegistry()
    metrics = of_dispatcher.Metrics(registry)
    metrics.provider_used(PROVIDER)
    metrics.breaker_is(PROVIDER, BreakerCondition.CLOSED)
    metrics.shares_are(Channel.SMS, {PROVIDER: 1.0})
    return registry.collect()


def scheduler() -> Iterable[Metric]:
    registry = CollectorRegistry()
    metrics = of_scheduler.Metrics(registry)
    metrics.show_backlog(lambda: Backlog(due=0, waiting=0, outbox_groups=0))
    return registry.collect()


def sandbox() -> Iterable[Metric]:
    return text_string_to_metric_families(of_sandbox.Metrics().render().decode())


def series() -> Iterator[Metric]:
    for registry in (gateway, dispatcher, scheduler, sandbox):
        for metric in registry():
            if metric.name.endswith("_created"):
                continue  # of when a counter began; the client library adds it
            yield metric


@pytest.mark.parametrize("metric", series(), ids=lambda metric: metric.name)
def test_a_metric_names_its_unit_and_takes_labels_from_enumerations(
    metric: Metric,
) -> None:
    assert metric.name.startswith("tocsin_")
    if metric.type == "histogram":
        assert metric.name.endswith(UNITS)
    elif metric.type == "gauge":
        is_state = metric.documentation.startswith(("1 while ", "0 while "))
        assert metric.name.endswith(UNITS) or is_state
    else:
        assert metric.type == "counter"
    assert metric.samples, "nothing is there from the start"
    labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
    for label in labels:
        said = {sample.labels[label] for sample in metric.samples}
        assert any(said <= set(values) for values in VALUES[label]), (label, said)
