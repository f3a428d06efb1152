"""The scheduler's jobs, and the runs of them that the console heard of."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from console.model.views import JobHealth, JobView, RunView
from contracts.mesh import JobOutcome, JobReading, ServiceState

RUNS_OF_A_JOB = 100
STRIP_RUNS = 20
#: A run may begin this much later than planned, or by its period: the one before takes time.
LATE_SECONDS = 5.0
#: A job that nobody has told of for so long is history.
FORGET_SECONDS = 24 * 3600.0
#: Jobs that look for what others lost: their last run is worth a row, whatever it found.
RECONCILERS = frozenset({"reconcile", "orphans", "dead_letter_sweep"})
#: Of a job that runs more often than this only the last run with an effect is worth a row:
#: having one is its daily work.
SELDOM_SECONDS = 10.0


@dataclass
class _Job:
    reading: JobReading
    holder: str
    heard_at: float
    runs: deque[RunView]


class JobBook:
    """Every job heard of, by name. The process that ran it last speaks for it."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def report(self, now: float, state: ServiceState) -> None:
        """Take what a process says of the jobs it holds."""
        for reading in state.jobs:
            job = self._jobs.get(reading.name)
            if job is None:
                job = _Job(reading, state.instance, now, deque(maxlen=RUNS_OF_A_JOB))
                self._jobs[reading.name] = job
            elif job.holder != state.instance and _before(reading, job.reading):
                continue  # from one that had the job earlier
            job.reading, job.holder, job.heard_at = reading, state.instance, now
            run = _run(reading, state.instance)
            if run is None:
                continue
            if job.runs and job.runs[-1].key == run.key:
                job.runs[-1] = run
            else:
                job.runs.append(run)

    def forget(self, now: float) -> None:
        """Drop the jobs that nobody has told of for a day."""
        for name, job in list(self._jobs.items()):
            if now - job.heard_at > FORGET_SECONDS:
                del self._jobs[name]

    def views(
        self, now: float, live: Iterable[ServiceState], *, cut_off: bool
    ) -> tuple[JobView, ...]:
        """Draw every job, by name."""
        held = {
            (state.instance, reading.name) for state in live for reading in state.jobs
        }
        return tuple(
            _view(now, job, held=(job.holder, name) in held, cut_off=cut_off)
            for name, job in sorted(self._jobs.items())
        )

    def runs(self) -> tuple[RunView, ...]:
        """Return the runs that repaired something or failed, newest first.

        Of jobs that do so all the time the last one stands for all; of what looks for losses
        the last run is among them whatever it found.
        """
        told = [run for job in self._jobs.values() for run in _telling(job)]
        return tuple(sorted(told, key=lambda run: -run.started_at))

    def runs_of(self, name: str) -> Sequence[RunView]:
        """Return all runs heard of one job, newest first."""
        job = self._jobs.get(name)
        return [] if job is None else list(reversed(job.runs))


def _telling(job: _Job) -> Iterator[RunView]:
    seldom = job.reading.period_seconds >= SELDOM_SECONDS
    repaired = False
    for run in reversed(job.runs):
        if run.health is JobHealth.FAILED:
            yield run
        elif run.repaired:
            if seldom or not repaired:
                yield run
            repaired = True
        elif run is job.runs[-1] and run.name in RECONCILERS:
            yield run


def _before(reading: JobReading, known: JobReading) -> bool:
    if known.started_at is None:
        return False
    return reading.started_at is None or reading.started_at < known.started_at


def _run(reading: JobReading, holder: str) -> RunView | None:
    if reading.started_at is None or reading.outcome is None:
        return None
    return RunView(
        name=reading.name,
        holder=holder,
        started_at=reading.started_at.timestamp(),
        duration_seconds=reading.duration_seconds,
        outcome=reading.outcome,
        scanned=reading.scanned,
        repaired=reading.repaired,
        why=reading.why,
        error=reading.error,
    )


def _view(now: float, job: _Job, *, held: bool, cut_off: bool) -> JobView:
    reading = job.reading
    due = None if reading.next_at is None else reading.next_at.timestamp() - now
    began = None if reading.started_at is None else reading.started_at.timestamp()
    return JobView(
        name=reading.name,
        health=JobHealth.UNKNOWN if cut_off else _health(reading, due, held=held),
        holder=job.holder,
        period_seconds=reading.period_seconds,
        next_seconds=due,
        last_seconds=None if began is None else max(0.0, now - began),
        duration_seconds=None if began is None else reading.duration_seconds,
        outcome=reading.outcome,
        scanned=reading.scanned,
        repaired=reading.repaired,
        why=reading.why,
        error=reading.error,
        strip=reading.strip[-STRIP_RUNS:],
    )


def _health(reading: JobReading, due: float | None, *, held: bool) -> JobHealth:
    if not held:
        return JobHealth.UNHELD
    if reading.outcome is JobOutcome.FAILED:
        return JobHealth.FAILED
    if due is not None and due < -max(LATE_SECONDS, reading.period_seconds):
        return JobHealth.OVERDUE
    return JobHealth.WAITING if reading.outcome is None else JobHealth.RAN
