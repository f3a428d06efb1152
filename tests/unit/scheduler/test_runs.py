from datetime import UTC, datetime
from itertools import chain, repeat

import pytest
from prometheus_client import CollectorRegistry

from contracts.mesh import JobOutcome
from ops.runtime.errors import BusUnavailable
from scheduler.jobs import Done, Job, JobName
from scheduler.metrics import Metrics
from scheduler.rows import Run
from scheduler.runs import Runs

JOBS = frozenset(JobName)


class Book:
    """Takes down what is written, or is away."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.idle: list[Run] = []
        self.away = False

    async def write(self, runs: list[Run], idle: list[Run]) -> None:
        if self.away:
            raise ConnectionError("the ledger is away")
        self.runs += runs
        self.idle += idle


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def runs(registry: CollectorRegistry) -> Runs:
    return Runs(Metrics(registry))


def job(*results: Done | Exception, name: JobName = JobName.OUTBOX) -> Job:
    """A job that returns or raises each of these in turn, and finds nothing to do then."""
    answers = chain(results, repeat(Done()))

    async def step() -> Done:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Job(name, 60.0, step)


async def test_the_last_run_is_told_with_its_next(runs: Runs):
    before = datetime.now(UTC)

    await runs.run(job(Done(5.0, scanned=7, why={"late": 2, "lost": 1, "other": 0})))

    [reading] = runs.readings(JOBS)
    assert (reading.name, reading.period_seconds) == ("outbox", 60.0)
    assert (reading.scanned, reading.repaired) == (7, 3)
    assert reading.why == {"late": 2, "lost": 1}
    assert reading.outcome == JobOutcome.FINISHED
    assert reading.started_at is not None
    assert reading.next_at is not None
    assert before <= reading.started_at <= reading.next_at
    assert (reading.next_at - reading.started_at).total_seconds() >= 5


async def test_a_job_that_another_process_holds_is_not_told(runs: Runs):
    await runs.run(job())

    assert runs.readings(JOBS - {JobName.OUTBOX}) == []
    assert len(runs.readings(JOBS)) == 1


async def test_the_strip_shows_the_last_twenty_runs_the_oldest_first(runs: Runs):
    one = job(
        *[Done()] * 10, Done(why={"late": 1}), BusUnavailable("away"), *[Done()] * 18
    )

    for turn in range(30):
        if turn == 11:
            with pytest.raises(BusUnavailable):
                await runs.run(one)
        else:
            await runs.run(one)

    [reading] = runs.readings(JOBS)
    assert reading.strip == "+!" + "." * 18


async def test_a_failed_run_is_raised_told_counted_and_kept(
    runs: Runs, registry: CollectorRegistry
):
    book = Book()

    with pytest.raises(BusUnavailable):
        await runs.run(job(BusUnavailable("no route to it")))
    await runs.write(book.write)

    [reading] = runs.readings(JOBS)
    assert reading.outcome == JobOutcome.FAILED
    assert reading.next_at is None
    assert "no route to it" in reading.error
    assert [(run.outcome, run.error) for run in book.runs] == [
        (JobOutcome.FAILED, reading.error)
    ]
    labels = {"job": "outbox", "outcome": "failed"}
    assert registry.get_sample_value("tocsin_scheduler_job_runs_total", labels) == 1


async def test_what_an_unexpected_error_says_is_not_passed_on(runs: Runs):
    with pytest.raises(ValueError):
        await runs.run(job(ValueError("no place for ann@example.com")))

    [reading] = runs.readings(JOBS)
    assert reading.error == "ValueError"


async def test_idle_runs_leave_one_row_however_many_they_are(runs: Runs):
    book = Book()
    idle, kept = job(), job(*[Done(kept=True)] * 3, name=JobName.RECONCILE)

    for _ in range(100):
        await runs.run(idle)
    for _ in range(3):
        await runs.run(kept)
    await runs.write(book.write)
    for _ in range(100):
        await runs.run(idle)
    await runs.write(book.write)

    assert [(run.job, run.runs) for run in book.runs] == [("reconcile", 3)]
    assert [run.job for run in book.idle] == ["outbox"]


async def test_runs_that_did_something_share_a_row_until_it_is_written(runs: Runs):
    book = Book()
    one = job(*[Done(scanned=2, why={"late": 1})] * 3, BusUnavailable("away"))

    for _ in range(3):
        await runs.run(one)
    with pytest.raises(BusUnavailable):
        await runs.run(one)
    await runs.write(book.write)

    assert [(run.outcome, run.runs, run.scanned, run.why) for run in book.runs] == [
        (JobOutcome.FINISHED, 3, 6, {"late": 3}),
        (JobOutcome.FAILED, 1, 0, {}),
    ]


async def test_what_the_ledger_did_not_take_is_written_later_once(runs: Runs):
    book = Book()
    book.away = True
    one = job(*[Done(why={"late": 1})] * 2)
    await runs.run(one)
    with pytest.raises(ConnectionError):
        await runs.write(book.write)
    await runs.run(one)

    book.away = False
    await runs.write(book.write)
    await runs.write(book.write)

    assert sum(run.repaired for run in book.runs) == 2
    assert len({run.id for run in book.runs}) == len(book.runs)


async def test_a_ledger_that_stays_away_does_not_fill_the_memory(runs: Runs):
    book = Book()
    book.away = True
    for number in range(1_000):
        with pytest.raises(BusUnavailable):
            await runs.run(job(BusUnavailable(f"away for the {number}. time")))
        with pytest.raises(ConnectionError):
            await runs.write(book.write)

    book.away = False
    await runs.write(book.write)

    assert len(book.runs) == 200
    assert "999" in book.runs[-1].error, "the newest are worth most"
