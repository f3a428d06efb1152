"""Every metric of the scheduler."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.channels import LANES, Lane
from contracts.mesh import JobOutcome
from contracts.operations import OperationKind
from contracts.outcomes import FailureClass
from scheduler.advisories import AdvisoryKind
from scheduler.jobs import JobName
from scheduler.rows import Backlog, Why


class Table(StrEnum):
    """The partitioned tables."""

    NOTIFICATION = "notification"
    NOTIFICATION_EVENT = "notification_event"


class SpoolOutcome(StrEnum):
    """What became of a notification that was accepted while the ledger was away."""

    STORED = "stored"  #: on its way
    CANCELLED = "cancelled"  #: its key had an answer that the spool did not know
    KNOWN = "known"  #: in the ledger already


class KeptTable(StrEnum):
    """The tables whose old rows are removed one by one."""

    NOTIFICATION = "notification"  #: that no weekly partition took
    BATCH = "batch"
    DEAD_LETTER = "dead_letter"


_LATENESS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

#: The loop that writes down what the jobs did; it is no job, every process has its own.
RECORDING = "recording"

#: The loop that counts what waits in the spool; no job either.
SPOOL_DEPTH = "spool_depth"


class Metrics:
    """Counts by verbs; every series exists from the start, so a zero can be seen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"tocsin_scheduler_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"tocsin_scheduler_{name}", words, labels, registry=registry)

        self.loop_errors = counter(
            "loop_errors_total", "Turns of a job that ended in an error.", "loop"
        )
        self.job_held = gauge("job_held", "1 while this process holds the job.", "job")
        self._job_runs = counter(
            "job_runs_total", "Runs of a job by their outcome.", "job", "outcome"
        )
        self._job_duration = Histogram(
            "tocsin_scheduler_job_duration_seconds",
            "How long a run took, waiting for something to do included.",
            ("job",),
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self._released = counter(
            "released_total",
            "Notifications released when they were due.",
            "channel",
            "priority",
        )
        self._lateness = Histogram(
            "tocsin_scheduler_release_lateness_seconds",
            "From the due time of a notification until the bus confirmed it.",
            buckets=_LATENESS_BUCKETS,
            registry=registry,
        )
        self._republished_groups = counter(
            "outbox_groups_republished_total",
            "Groups published again, never having been confirmed.",
        )
        self._republished = counter(
            "outbox_notifications_republished_total", "Notifications in those groups."
        )
        self._put_back_groups = counter(
            "outbox_groups_put_back_total",
            "Groups that could not be published, put back behind the others.",
        )
        self._passes = counter(
            "reconcile_passes_total", "Comparisons of the ledger with the bus."
        )
        self._scanned = counter(
            "reconcile_scanned_total",
            "Notifications queued before the oldest message of their lane, looked at.",
        )
        self._requeued = counter(
            "reconcile_repaired_total", "Notifications put on the bus again.", "why"
        )
        self._skew = gauge(
            "bus_clock_skew_seconds",
            "How far the bus's clock is ahead of the ledger's.",
        )
        self._orphans = gauge(
            "orphaned_messages",
            "Messages the bus keeps and will not deliver.",
            "channel",
            "priority",
        )
        self._advisories = counter(
            "advisories_total", "Advisories the bus sent.", "kind"
        )
        self._published = counter(
            "dead_letters_published_total", "Dead letters the DLQ confirmed.", "class"
        )
        self._operated = counter(
            "operated_notifications_total",
            "Notifications and dead letters that operators had changed.",
            "kind",
        )
        self._redacted = counter(
            "redacted_notifications_total",
            "Notifications whose recipient and content were taken out for their age.",
        )
        self._partitions_dropped = counter(
            "partitions_dropped_total", "Partitions dropped for their age."
        )
        self._outlived = counter(
            "outlived_rows_total", "Rows removed for their age, one by one.", "table"
        )
        self._partitions_made = counter("partitions_made_total", "Partitions made.")
        self._default_rows = gauge(
            "default_partition_rows",
            "Rows that no weekly partition took, as of the last look.",
            "table",
        )
        self._pruned = counter(
            "idempotency_keys_pruned_total", "Expired idempotency keys removed."
        )
        self._status_lost = counter(
            "status_events_lost_total", "Status events the bus was not there to take."
        )
        self._spool_moved = counter(
            "spool_moved_notifications_total",
            "Notifications moved from the spool into the ledger.",
            "outcome",
        )
        self._spool_refused = counter(
            "spool_refused_total", "Times a spooled submission could not be moved."
        )
        self._spool_depth = gauge(
            "spool_depth_submissions", "Submissions that wait for the ledger."
        )
        self._backlog = {
            "due": gauge("due_notifications", "Due and not yet released."),
            "waiting": gauge("waiting_notifications", "Waiting for their due time."),
            "outbox_groups": gauge(
                "outbox_groups", "Groups the bus has not confirmed."
            ),
        }
        self._show_zeros()

    def _show_zeros(self) -> None:
        for loop in (*JobName, RECORDING, SPOOL_DEPTH):
            self.loop_errors.labels(loop=loop)
        for job in JobName:
            self.job_held.labels(job=job)
            self._job_duration.labels(job)
            for outcome in JobOutcome:
                self._job_runs.labels(job, outcome)
        for lane in LANES:
            self._released.labels(*lane)
            self._orphans.labels(*lane)
        for why in Why:
            self._requeued.labels(why)
        for kind in AdvisoryKind:
            self._advisories.labels(kind)
        for failure in FailureClass:
            self._published.labels(failure)
        for table in Table:
            self._default_rows.labels(table)
        for operation in OperationKind:
            self._operated.labels(operation)
        for moved in SpoolOutcome:
            self._spool_moved.labels(moved)
        for kept in KeptTable:
            self._outlived.labels(kept)

    def job_ran(self, job: JobName, outcome: JobOutcome, seconds: float) -> None:
        """Count one run of a job."""
        self._job_runs.labels(job, outcome).inc()
        self._job_duration.labels(job).observe(seconds)

    def released(self, lanes: Iterable[Lane], late_seconds: Iterable[float]) -> None:
        """Count notifications that the bus has confirmed, and how late each was."""
        for lane, number in Tally(lanes).items():
            self._released.labels(*lane).inc(number)
        for late in late_seconds:
            self._lateness.observe(late)

    def republished(self, groups: int, notifications: int) -> None:
        """Count groups of the outbox that were published again and confirmed."""
        self._republished_groups.inc(groups)
        self._republished.inc(notifications)

    def group_put_back(self) -> None:
        """Count a group of the outbox that could not be published."""
        self._put_back_groups.inc()

    def spool_moved(self, notifications: dict[SpoolOutcome, int]) -> None:
        """Count notifications whose submissions left the spool."""
        for outcome, number in notifications.items():
            self._spool_moved.labels(outcome).inc(number)

    def spool_refused(self) -> None:
        """Count one submission that has to stay in the spool."""
        self._spool_refused.inc()

    def spool_seen(self, submissions: int) -> None:
        """Show how much waits for the ledger."""
        self._spool_depth.set(submissions)

    def reconciled(self, scanned: int, skew_seconds: float) -> None:
        """Count one whole pass."""
        self._passes.inc()
        self._scanned.inc(scanned)
        self._skew.set(skew_seconds)

    def requeued(self, reasons: Iterable[Why]) -> None:
        """Count notifications put on the bus again."""
        for why in reasons:
            self._requeued.labels(why).inc()

    def orphans_seen(self, lane: Lane, number: int) -> None:
        """Show how many messages of a lane the bus will not deliver."""
        self._orphans.labels(*lane).set(number)

    def advised(self, kind: AdvisoryKind) -> None:
        """Count one advisory."""
        self._advisories.labels(kind).inc()

    def letters_published(self, classes: Iterable[FailureClass]) -> None:
        """Count dead letters that reached the DLQ."""
        for failure in classes:
            self._published.labels(failure).inc()

    def partitions_kept(self, made: int, default_rows: dict[str, int]) -> None:
        """Count partitions made and show what fell beside them."""
        self._partitions_made.inc(made)
        for table, rows in default_rows.items():
            self._default_rows.labels(Table(table)).set(rows)

    def operated(self, kind: OperationKind, number: int) -> None:
        """Count what an operation has changed."""
        self._operated.labels(kind).inc(number)

    def redacted(self, notifications: int) -> None:
        """Count notifications that name nobody any more."""
        self._redacted.inc(notifications)

    def outlived(self, partitions: int, rows: dict[KeptTable, int]) -> None:
        """Count what was removed for its age."""
        self._partitions_dropped.inc(partitions)
        for table, number in rows.items():
            self._outlived.labels(table).inc(number)

    def pruned(self, keys: int) -> None:
        """Count removed idempotency keys."""
        self._pruned.inc(keys)

    def status_events_lost(self, events: int) -> None:
        """Count status events that nobody will see."""
        self._status_lost.inc(events)

    def show_backlog(self, latest: Callable[[], Backlog | None]) -> None:
        """Ask ``latest`` whenever the metrics are read; None shows as 0."""
        for field, gauge in self._backlog.items():
            gauge.set_function(partial(_read, latest, field))


def _read(latest: Callable[[], Backlog | None], field: str) -> float:
    return float(getattr(latest(), field, 0))
