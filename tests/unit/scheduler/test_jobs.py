import asyncio
from collections import Counter
from itertools import chain, repeat

from prometheus_client import CollectorRegistry

from ops.runtime.errors import BusUnavailable
from scheduler.jobs import Job, JobName, run_job
from scheduler.metrics import Metrics


class Nobody:
    async def hold(self, _job: JobName) -> bool:
        return False


class Everyone:
    async def hold(self, _job: JobName) -> bool:
        return True


async def test_a_job_that_is_held_elsewhere_is_not_run():
    stopping = asyncio.Event()

    async def step() -> None:
        raise AssertionError("not ours")

    task = asyncio.create_task(
        run_job(
            Job(JobName.OUTBOX, 1.0, step),
            Nobody(),
            stopping,
            Metrics(CollectorRegistry()).loop_errors,
        )
    )
    await asyncio.sleep(0)
    stopping.set()
    await task


async def test_a_step_in_hand_is_finished_before_the_job_stops():
    stopping = asyncio.Event()
    steps: list[str] = []

    async def step() -> float:
        steps.append("begun")
        stopping.set()
        await asyncio.sleep(0.01)
        steps.append("finished")
        return 0

    await run_job(
        Job(JobName.OUTBOX, 1.0, step),
        Everyone(),
        stopping,
        Metrics(CollectorRegistry()).loop_errors,
    )

    assert steps == ["begun", "finished"]


async def test_a_step_that_fails_is_counted_and_tried_again():
    registry = CollectorRegistry()
    stopping = asyncio.Event()
    tries: Counter[str] = Counter()

    async def step() -> None:
        tries["all"] += 1
        if tries["all"] == 1:
            raise BusUnavailable("away")
        stopping.set()

    await run_job(
        Job(JobName.OUTBOX, 60.0, step),
        Everyone(),
        stopping,
        Metrics(registry).loop_errors,
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
    answers = chain([True, True, False], repeat(True))
    steps: list[str] = []

    class Loser:
        async def hold(self, _job: JobName) -> bool:
            return next(answers)

    async def step() -> float:
        steps.append("step")
        if len(steps) == 2:
            stopping.set()
        return 3_600

    await run_job(
        Job(JobName.PARTITIONS, 3_600, step),
        Loser(),
        stopping,
        Metrics(CollectorRegistry()).loop_errors,
    )

    assert steps == ["step", "step"]
