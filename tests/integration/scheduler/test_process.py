import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from contracts import subjects
from contracts.mesh import JobOutcome, JobReading, ServiceCondition, ServiceState
from ops.embedded import ports
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.jobs import JobName
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import (
    DUE,
    PENDING,
    add_group,
    begin,
    column,
    give_up,
    ids_on_bus,
    shape,
    stored,
)
from tests.waiting import until


class Scheduler:
    """A scheduler as a process of its own."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._address = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._address + path) as answer,
        ):
            return answer.status, await answer.text()

    async def is_ready(self) -> bool:
        try:
            return (await self.get("/healthz/ready"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def holds(self, job: str) -> bool:
        _, text = await self.get("/metrics")
        return f'tocsin_scheduler_job_held{{job="{job}"}} 1.0' in text


StartScheduler = Callable[[], Awaitable[Scheduler]]


@asynccontextmanager
async def started(environment: dict[str, str]) -> AsyncIterator[Scheduler]:
    [port] = ports.choose(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler",
        env={**environment, "TOCSIN_SCHEDULER_METRICS_PORT": str(port)},
    )
    try:
        scheduler = Scheduler(process, port)
        await until(scheduler.is_ready, 20)
        yield scheduler
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest_asyncio.fixture
async def start(
    environment: dict[str, str], bare_bus: Bus
) -> AsyncIterator[StartScheduler]:
    """Start schedulers on a bus that has no streams: they make them."""
    async with AsyncExitStack() as stack:

        async def start() -> Scheduler:
            return await stack.enter_async_context(started(environment))

        yield start


async def test_a_scheduler_does_its_work_tells_the_mesh_and_drains(
    start: StartScheduler, ledger: Ledger, bare_bus: Bus
):
    states = await bare_bus.nc.subscribe(subjects.mesh_state("scheduler", "*"))
    due, late = await seed_notifications(ledger, None, 2)
    await shape(ledger, [due], PENDING, DUE)
    await add_group(ledger, [late])
    scheduler = await start()

    await until(lambda: _is(ids_on_bus(bare_bus), {due: 1, late: 1}), 15)
    readings = await _readings_of(states, "outbox", "reconcile")
    state = await _state_with(states, "outbox_groups")
    scheduler.process.terminate()

    assert await asyncio.wait_for(scheduler.process.wait(), 8) == 0
    assert state.condition == ServiceCondition.READY
    assert state.gauges["jobs_held"] == len(JobName)
    assert "outbox" in await _repairers(ledger)
    assert readings["reconcile"].outcome == JobOutcome.FINISHED
    assert readings["reconcile"].next_at is not None
    assert "+" in readings["outbox"].strip
    assert state.gauges.keys() == {
        "jobs_held",
        "due_notifications",
        "waiting_notifications",
        "outbox_groups",
        "spooled_submissions",
    }


async def test_when_one_of_two_is_killed_the_other_takes_over(
    start: StartScheduler, ledger: Ledger, bare_bus: Bus
):
    one, other = await start(), await start()
    assert await one.holds("release")
    assert not await other.holds("release")

    one.process.kill()
    ids = await seed_notifications(ledger, None, 200)
    await shape(ledger, ids, PENDING, DUE)

    await until(lambda: _is(stored(bare_bus), 200), 10)
    assert await other.holds("release")
    assert await ids_on_bus(bare_bus) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOCSIN_SCHEDULER_RELEASE_PAGE", "0"),
        ("TOCSIN_SCHEDULER_RECONCILE_MARGIN_SECONDS", "5"),
    ],
)
async def test_a_wrong_setting_is_named_and_nothing_starts(
    environment: dict[str, str], name: str, value: str
):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler",
        env={**environment, name: value},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 2
    assert name in errors.decode()


async def _state_with(states, gauge: str) -> ServiceState:
    while True:
        message = await states.next_msg(8)
        state = msgspec.json.decode(message.data, type=ServiceState)
        if gauge in state.gauges and state.gauges["jobs_held"] == len(JobName):
            return state


async def _readings_of(states, *jobs: str) -> dict[str, JobReading]:
    """Return what is told of these jobs, as soon as each has run."""
    while True:
        message = await states.next_msg(8)
        state = msgspec.json.decode(message.data, type=ServiceState)
        readings = {reading.name: reading for reading in state.jobs}
        if readings.keys() >= set(jobs):
            return readings


async def _repairers(ledger: Ledger) -> set[str]:
    """Return the jobs of which the ledger says that they put something right."""
    rows = await ledger.fetch("SELECT job FROM job_run WHERE repaired > 0")
    return {row["job"] for row in rows}


async def _is(awaitable: Awaitable[object], value: object) -> bool:
    return bool(await awaitable == value)


async def test_a_replay_goes_on_when_its_scheduler_is_killed(
    environment: dict[str, str], ledger: Ledger, bus: Bus
):
    ids = await seed_notifications(ledger, None, 60)
    await give_up(ledger, ids)
    replay = await begin(ledger, rate_per_second=40.0)

    async def replayed(at_least: int) -> bool:
        return (await column(ledger, "status", ids)).count("queued") >= at_least

    async with started(environment) as scheduler:
        await until(lambda: replayed(10), 10)
        scheduler.process.kill()
    assert not await replayed(len(ids)), "it died in the middle"
    async with started(environment):
        await until(lambda: replayed(len(ids)), 15)
        await until(lambda: all_on_bus(bus, len(ids)), 15)

    assert await column(ledger, "sequence", ids) == [5] * len(ids)
    [row] = await ledger.fetch("SELECT done FROM operation WHERE id = $1", replay)
    assert row["done"] == len(ids)


async def all_on_bus(bus: Bus, number: int) -> bool:
    found = await ids_on_bus(bus)
    return len(found) == number and set(found.values()) == {1}
