"""Runs steps the way the scheduler does, without asking for locks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from scheduler.jobs import Done, Holder, Job, JobName, run_job
from scheduler.metrics import Metrics
from scheduler.runs import Runs


class Everyone:
    """Lets every process have every job."""

    async def hold(self, _job: JobName) -> bool:
        return True


@asynccontextmanager
async def running(
    *steps: Callable[[], Awaitable[Done]],
    holder: Holder | None = None,
    period_seconds: float = 0.02,
) -> AsyncIterator[None]:
    """Repeat each step as a job until the block is left; none may have failed."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for step in steps:
            job = Job(JobName.RELEASE, period_seconds, step)
            group.create_task(
                run_job(
                    job,
                    holder or Everyone(),
                    Runs(metrics),
                    stopping,
                    metrics.loop_errors,
                )
            )
        try:
            yield
        finally:
            stopping.set()
    failed = registry.get_sample_value(
        "tocsin_scheduler_loop_errors_total", {"loop": JobName.RELEASE}
    )
    assert failed == 0
