from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from contracts.ids import new_id
from contracts.mesh import JobOutcome
from ops.runtime.ledger import Ledger
from scheduler.jobs import Done, Job, JobName
from scheduler.metrics import Metrics
from scheduler.pruning import Pruning
from scheduler.rows import Run
from scheduler.runs import Runs, recording
from scheduler.store import Store
from tests.integration.scheduler.seeds import count


def run_of(job: JobName, **changes: object) -> Run:
    fields = {
        "id": new_id(),
        "job": job,
        "started_at": datetime.now(UTC),
        "duration_seconds": 0.25,
        "outcome": JobOutcome.FINISHED,
        **changes,
    }
    return Run(**fields)  # type: ignore[arg-type]  # the fields are written just above


async def test_a_run_is_written_as_it_was_and_once(store: Store, ledger: Ledger):
    run = run_of(
        JobName.RECONCILE,
        runs=2,
        scanned=9,
        why={"message_lost": 3, "lease_expired": 1},
    )

    await store.write_runs("scheduler-1", [run], [])
    await store.write_runs("scheduler-1", [run], [])

    [row] = await ledger.fetch("SELECT *, why ->> 'message_lost' AS lost FROM job_run")
    assert (row["job"], row["instance"], row["outcome"]) == (
        "reconcile",
        "scheduler-1",
        "finished",
    )
    assert (row["runs"], row["scanned"], row["repaired"]) == (2, 9, 4)
    assert (row["started_at"], row["duration_seconds"]) == (run.started_at, 0.25)
    assert (row["lost"], row["idle"], row["error"]) == ("3", False, "")


async def test_of_idle_runs_the_latest_of_each_job_stays(store: Store, ledger: Ledger):
    first, other, second = (
        run_of(job) for job in (JobName.RELEASE, JobName.OUTBOX, JobName.RELEASE)
    )

    await store.write_runs("a", [], [first, other])
    await store.write_runs("b", [], [second])
    await store.write_runs("a", [], [first])

    rows = await ledger.fetch("SELECT id, job, instance FROM job_run ORDER BY job")
    assert [tuple(row) for row in rows] == [
        (other.id, "outbox", "a"),
        (second.id, "release", "b"),
    ]


async def test_old_runs_are_pruned_for_each_job_and_idle_ones_stay(
    store: Store, metrics: Metrics, ledger: Ledger
):
    many = [run_of(JobName.RELEASE) for _ in range(1_700)]
    few = [run_of(JobName.PARTITIONS) for _ in range(5)]
    await store.write_runs("a", [*few, *many], [run_of(JobName.RELEASE)])
    pruning = Pruning(store, metrics)

    pauses = [(await pruning.step()).pause_seconds for _ in range(2)]

    assert pauses[0] is not None, "there is more: it comes back soon"
    assert pauses[1] is None
    assert await count(ledger, "job_run WHERE job = 'partitions'") == 5
    assert await count(ledger, "job_run WHERE idle") == 1
    rows = await ledger.fetch(
        "SELECT id FROM job_run WHERE job = 'release' AND NOT idle ORDER BY id"
    )
    assert [row["id"] for row in rows] == [run.id for run in many[-1_000:]]


async def test_what_ran_last_is_written_before_a_process_ends(
    store: Store, ledger: Ledger
):
    metrics = Metrics(CollectorRegistry())
    runs = Runs(metrics)

    async def step() -> Done:
        return Done(why={"late": 1})

    async def write(kept: list[Run], idle: list[Run]) -> None:
        await store.write_runs("scheduler-1", kept, idle)

    async with recording(runs, write, metrics.loop_errors):
        await runs.run(Job(JobName.OUTBOX, 1.0, step))

    assert await count(ledger, "job_run WHERE job = 'outbox' AND repaired = 1") == 1
