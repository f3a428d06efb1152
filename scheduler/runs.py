"""What became of the jobs: told with the heartbeat, counted, and written down in the ledger.

Writing lags behind and never holds a job up. Runs that did something, failed, or are kept
for their own sake get a row, those of about a second together; of the others the ledger has
the latest of each job. While the ledger is away a bounded number waits in memory.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from prometheus_client import Counter

from contracts.ids import new_id
from contracts.mesh import JobOutcome, JobReading
from ops.runtime.tasks import keep_running, wait_for_stop
from scheduler.jobs import SERVER_AWAY, Done, Job, JobName, pause_seconds
from scheduler.metrics import RECORDING, Metrics
from scheduler.rows import Run

log = structlog.stdlib.get_logger()

_STRIP = 20
_ERROR_CHARACTERS = 200
_WAITING_AT_MOST = 200
_IDLE_SECONDS = 30.0
_PERIOD_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0

#: Takes what is to be written: the runs with a row of their own, and the latest idle ones.
Write = Callable[[list[Run], list[Run]], Awaitable[None]]


class Runs:
    """The runs of this process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._readings: dict[JobName, JobReading] = {}
        self._strips: dict[JobName, deque[str]] = {
            job: deque(maxlen=_STRIP) for job in JobName
        }
        self._to_write: list[Run] = []
        self._idle: dict[JobName, Run] = {}
        self._idle_written_at: float | None = None

    async def run(self, job: Job) -> Done:
        """Run a step and remember what came of it; what it raises is raised again."""
        at, started = datetime.now(UTC), time.monotonic()
        try:
            done = await job.step()
        except Exception as error:
            seconds = time.monotonic() - started
            self._remember(job, _failed(job.name, at, seconds, error), None)
            raise
        seconds = time.monotonic() - started
        run = _finished(job.name, at, seconds, done)
        self._remember(job, run, pause_seconds(job, done))
        if run.repaired or done.kept:
            self._keep(run)
        else:
            self._idle[job.name] = run
        return done

    def _remember(self, job: Job, run: Run, pause: float | None) -> None:
        self._metrics.job_ran(job.name, run.outcome, run.duration_seconds)
        if run.outcome == JobOutcome.FAILED:
            self._keep(run)
        strip = self._strips[job.name]
        strip.append(_mark(run))
        self._readings[job.name] = JobReading(
            name=job.name,
            period_seconds=job.period_seconds,
            next_at=None
            if pause is None
            else datetime.now(UTC) + timedelta(seconds=pause),
            started_at=run.started_at,
            duration_seconds=round(run.duration_seconds, 6),
            outcome=run.outcome,
            scanned=run.scanned,
            repaired=run.repaired,
            why=run.why,
            error=run.error,
            strip="".join(strip),
        )

    def _keep(self, run: Run) -> None:
        for waiting in self._to_write:
            if waiting.takes(run):
                waiting.add(run)
                return
        self._to_write.append(msgspec.structs.replace(run, why=dict(run.why)))
        del self._to_write[:-_WAITING_AT_MOST]

    def readings(self, held: frozenset[JobName]) -> list[JobReading]:
        """Return the last run of each of these jobs, as far as this process ran them."""
        return [
            self._readings[job] for job in JobName if job in held & set(self._readings)
        ]

    async def write(self, write: Write) -> None:
        """Have written what waits for it; it waits on when ``write`` raises."""
        runs, self._to_write = self._to_write, []
        idle = list(self._idle.values()) if self._idle_is_due() else []
        if not runs and not idle:
            return
        try:
            await write(runs, idle)
        except BaseException:
            self._to_write = [*runs, *self._to_write][-_WAITING_AT_MOST:]
            raise
        if idle:
            self._idle_written_at = time.monotonic()
            self._idle = {
                job: run for job, run in self._idle.items() if run not in idle
            }

    def _idle_is_due(self) -> bool:
        written_at = self._idle_written_at
        return written_at is None or time.monotonic() - written_at >= _IDLE_SECONDS


def _finished(job: JobName, at: datetime, seconds: float, done: Done) -> Run:
    return Run(
        id=new_id(),
        job=job,
        started_at=at,
        duration_seconds=seconds,
        outcome=JobOutcome.FINISHED,
        scanned=done.scanned,
        why={reason: number for reason, number in done.why.items() if number},
    )


def _failed(job: JobName, at: datetime, seconds: float, error: Exception) -> Run:
    # What a server that is away says names nobody; of anything else only the log says more.
    said = repr(error) if isinstance(error, SERVER_AWAY) else type(error).__name__
    return Run(
        id=new_id(),
        job=job,
        started_at=at,
        duration_seconds=seconds,
        outcome=JobOutcome.FAILED,
        error=said[:_ERROR_CHARACTERS],
    )


def _mark(run: Run) -> str:
    if run.outcome == JobOutcome.FAILED:
        return "!"
    return "+" if run.repaired else "."


@asynccontextmanager
async def recording(runs: Runs, write: Write, errors: Counter) -> AsyncIterator[None]:
    """Write runs down once a second while the block runs, and what is left at its end.

    What the ledger does not take then, in three seconds, is lost.
    """
    over = asyncio.Event()

    async def turn() -> None:
        await wait_for_stop(over, _PERIOD_SECONDS)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await runs.write(write)

    async with asyncio.TaskGroup() as group:
        group.create_task(
            keep_running(RECORDING, turn, over, errors, SERVER_AWAY), name=RECORDING
        )
        try:
            yield
        finally:
            over.set()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await runs.write(write)
    except SERVER_AWAY as error:
        log.warning("job_runs.not_written", error=repr(error))
