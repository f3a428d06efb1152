"""Builds the scheduler from its parts and runs it until it has drained."""

import asyncio
from functools import partial

import structlog

from contracts import topology
from ops.runtime.absence import Absence
from ops.runtime.health import serve_health
from ops.runtime.heartbeat import Readings
from ops.runtime.service import Service
from ops.runtime.tasks import keep_running
from scheduler.backlog import BacklogCount
from scheduler.dead_letters import DeadLetters, Sweep
from scheduler.jobs import SERVER_AWAY, Job, JobName, run_job
from scheduler.locks import Locks, open_locks
from scheduler.metrics import SPOOL_DEPTH, Metrics
from scheduler.operation_store import OperationStore
from scheduler.operations import Operations
from scheduler.orphans import Orphans
from scheduler.outbox import Outbox
from scheduler.partitions import Partitions
from scheduler.pruning import Pruning
from scheduler.publisher import Publisher
from scheduler.reconcile import Reconcile
from scheduler.redaction import Redaction
from scheduler.release import Release
from scheduler.retention import Retention
from scheduler.runs import Runs, recording
from scheduler.settings import SchedulerSettings
from scheduler.shape import Shape
from scheduler.spool import SpoolDepth, SpoolDrain
from scheduler.spool_store import SpoolStore
from scheduler.store import Store
from scheduler.undelivered import Undelivered

log = structlog.stdlib.get_logger()

_HOUR_SECONDS = 3600.0


async def run(settings: SchedulerSettings, service: Service) -> None:
    """Run every job this process can get hold of, until told to stop.

    A step in hand is finished first, for at most ``drain_seconds``; what is cut off then is
    found again by the next holder.
    """
    metrics = Metrics(service.registry)
    absence = Absence(topology.ACK_WAIT_SECONDS)  # no dispatcher's lease is longer
    async with (
        serve_health(
            service.readiness,
            service.registry,
            settings.scheduler_metrics_host,
            settings.scheduler_metrics_port,
        ),
        open_locks(str(settings.postgres_dsn), metrics.job_held, absence) as locks,
    ):
        store = Store(service.ledger)
        backlog = BacklogCount(store, locks)
        metrics.show_backlog(backlog.latest)
        runs = Runs(metrics)
        depth = SpoolDepth(service.bus, metrics, service.stopping)

        def readings() -> Readings:
            held = locks.held
            return Readings(
                jobs=runs.readings(held),
                gauges={
                    "jobs_held": float(len(held)),
                    **backlog.gauges(),
                    **depth.gauges(),
                },
            )

        service.heartbeat.reports(readings)
        jobs = [
            Job(JobName.BACKLOG, 5.0, backlog.step),
            *build_jobs(settings, service, store, metrics, absence),
        ]
        write = partial(store.write_runs, service.instance)
        counting = keep_running(
            SPOOL_DEPTH,
            depth.step,
            service.stopping,
            metrics.loop_errors,
            SERVER_AWAY,
        )
        async with recording(runs, write, metrics.loop_errors):
            counted = asyncio.create_task(counting, name="spool.depth")
            await _run_jobs(
                jobs, locks, runs, metrics, service.stopping, settings.drain_seconds
            )
            await counted


def build_jobs(
    settings: SchedulerSettings,
    service: Service,
    store: Store,
    metrics: Metrics,
    absence: Absence,
) -> list[Job]:
    """Build the jobs that work on notifications and keep the ledger in order."""
    bus = service.bus
    publisher = Publisher(
        bus, store, metrics, late_seconds=settings.scheduler_outbox_late_seconds
    )
    undelivered = Undelivered(bus, store, publisher, metrics, absence)
    shape = Shape(bus, replicas=settings.nats_replicas)
    release = Release(
        bus,
        store,
        publisher,
        metrics,
        page=settings.scheduler_release_page,
        poll_seconds=settings.scheduler_release_poll_seconds,
    )
    outbox = Outbox(
        store,
        publisher,
        metrics,
        late_seconds=settings.scheduler_outbox_late_seconds,
    )
    reconcile = Reconcile(
        bus,
        store,
        publisher,
        metrics,
        service.stopping,
        margin_seconds=settings.scheduler_reconcile_margin_seconds,
    )
    orphans = Orphans(bus, undelivered, metrics)
    dead_letters = DeadLetters(bus, store, publisher, undelivered, metrics)
    sweep = Sweep(
        store, publisher, late_seconds=settings.scheduler_dead_letter_late_seconds
    )
    partitions = Partitions(store, metrics, weeks=settings.scheduler_partition_weeks)
    pruning = Pruning(store, metrics)
    operations = Operations(bus, OperationStore(service.ledger), publisher, metrics)
    spool = SpoolDrain(bus, SpoolStore(service.ledger), publisher, metrics)
    retention = Retention(store, metrics, days=settings.retention_days)
    redaction = Redaction(store, metrics, after_days=settings.redact_after_days)
    return [
        Job(JobName.OPERATIONS, 0.25, operations.step),
        Job(JobName.RETENTION, 600.0, retention.step),
        Job(JobName.REDACTION, 60.0, redaction.step),
        Job(JobName.TOPOLOGY, 5.0, shape.step),
        Job(JobName.RELEASE, settings.scheduler_release_poll_seconds, release.step),
        Job(JobName.OUTBOX, 1.0, outbox.step),
        Job(JobName.SPOOL, 1.0, spool.step),
        Job(JobName.RECONCILE, settings.scheduler_reconcile_seconds, reconcile.step),
        Job(JobName.ORPHANS, settings.scheduler_reconcile_seconds, orphans.step),
        Job(JobName.DEAD_LETTERS, 1.0, dead_letters.step),
        Job(JobName.DEAD_LETTER_SWEEP, 3.0, sweep.step),
        Job(JobName.PARTITIONS, _HOUR_SECONDS, partitions.step),
        Job(JobName.PRUNING, 60.0, pruning.step),
    ]


async def _run_jobs(
    jobs: list[Job],
    locks: Locks,
    runs: Runs,
    metrics: Metrics,
    stopping: asyncio.Event,
    drain_seconds: float,
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(
                    run_job(job, locks, runs, stopping, metrics.loop_errors),
                    name=job.name,
                )
            await stopping.wait()
            limit.reschedule(loop.time() + drain_seconds)
    except TimeoutError:
        log.warning("drain.cut_short", drain_seconds=drain_seconds)
