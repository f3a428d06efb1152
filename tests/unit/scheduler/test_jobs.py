import asyncio
from collections import Counter
from itertools import chain, repeat

from prometheus_client import CollectorRegistry

from ops.runtime.errors import BusUnavailable
from scheduler.jobs import Done, Job, JobName, run_job
from scheduler.metrics import Metrics
from scheduler.runs import Runs


class Nobody:
    async def hold(self, _job: JobName) -> bool:
        return False


class Everyone:
    async def hold(self, _job: JobName) -> bool:
        return True


async def test_a_job_that_is_held_elsewhere_is_not_run():
    stopping = asyncio.Event()
    metrics = Metrics(CollectorRegistry())

    async def step() -> Done:
        raise AssertionError("not ours")

    task = asyncio.create_task(
        run_job(
            Job(JobName.OUTBOX, 1.0, step),
            Nobody(),
            Runs(metrics),
            stopping,
            metrics.loop_errors,
        )
    )
    await asyncio.sleep(0)
    stopping.set()
    await task


async def test_a_step_in_hand_is_finished_before_the_job_stops():
    stopping = asyncio.Event()
    metrics = Metrics(CollectorRegistry())
    steps: list[str] = []

    async def step() -> Done:
        steps.append("begun")
        stopping.set()
        await asyncio.sleep(0.01)
        steps.append("finished")
        return Done(0)

    await run_job(
        Job(JobName.OUTBOX, 1.0, step),
        Everyone(),
        Runs(metrics),
        stopping,
        metrics.loop_errors,
    )

    assert steps == ["begun", "finished"]


async def test_a_step_that_fails_is_counted_and_tried_again():
    registry = CollectorRegistry()
    stopping = asyncio.Event()
    metrics = Metrics(registry)
    tries: Counter[str] = Counter()

    async def step() -> Done:
        tries["all"] += 1
        if tries["all"] == 1:
            raise BusUnavailable("away")
        stopping.set()
        return Done()

    await run_job(
        Job(JobName.OUTBOX, 60.0, step),
        Everyone(),
        Runs(metrics),
        stopping,
        metrics.loop_errors,
    )

    assert tries["all"] == 2
    assert (
        registry.get_sample_value(
            "tocsin_scheduler_loop_errors_total", {"loop": "outbox"}
        )
        == 1
    )


async def test_a_job_that_is_lost_while_it_rests_is_asked_for_again():
    stopping = asyncio.Event()
    metrics = Metrics(CollectorRegistry())
    answers = chain([True, True, False], repeat(True))
    steps: list[str] = []

    class Loser:
        async def hold(self, _job: JobName) -> bool:
            return next(answers)

    async def step() -> Done:
        steps.append("step")
        if len(steps) == 2:
            stopping.set()
        return Done(3_600)

    await run_job(
        Job(JobName.PARTITIONS, 3_600, step),
        Loser(),
        Runs(metrics),
        stopping,
        metrics.loop_errors,
    )

    assert steps == ["step", "step"]
