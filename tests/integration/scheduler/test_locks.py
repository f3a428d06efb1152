import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from ops.runtime import ledger as ledgers
from ops.runtime.absence import Absence
from ops.runtime.ledger import Ledger
from scheduler.jobs import Done, JobName
from scheduler.locks import Locks
from scheduler.metrics import Metrics
from tests.integration.scheduler.running import running
from tests.relay import relay
from tests.waiting import until

MakeLocks = Callable[[], Locks]


@pytest_asyncio.fixture
async def make_locks(dsn: str) -> AsyncIterator[MakeLocks]:
    """Make the locks of one more scheduler, each with metrics of its own."""
    async with AsyncExitStack() as stack:

        def make() -> Locks:
            locks = Locks(dsn, Metrics(CollectorRegistry()).job_held, Absence(15))
            stack.push_async_callback(locks.close)
            return locks

        yield make


async def kill_holders(ledger: Ledger) -> int:
    """End every session that holds an advisory lock, as a failover does."""
    rows = await ledger.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return len(rows)


async def test_a_job_is_held_by_one_of_two_schedulers(make_locks: MakeLocks):
    one, other = make_locks(), make_locks()

    assert await one.hold(JobName.RELEASE)
    assert not await other.hold(JobName.RELEASE)
    assert await one.hold(JobName.RELEASE), "asking again keeps it"
    assert await other.hold(JobName.OUTBOX), "jobs are held each for itself"


async def test_every_job_has_a_lock_of_its_own(make_locks: MakeLocks):
    one, other = make_locks(), make_locks()
    for job in JobName:
        assert await one.hold(job)

    assert one.held == frozenset(JobName)
    assert not any([await other.hold(job) for job in JobName])


async def test_a_scheduler_that_stops_hands_its_jobs_over(make_locks: MakeLocks):
    one, other = make_locks(), make_locks()
    assert await one.hold(JobName.RELEASE)

    await one.close()

    assert one.held == frozenset()
    await until(lambda: other.hold(JobName.RELEASE))


async def test_a_holder_whose_connection_is_killed_knows_and_the_job_moves(
    make_locks: MakeLocks, ledger: Ledger
):
    one, other = make_locks(), make_locks()
    assert await one.hold(JobName.RELEASE)

    assert await kill_holders(ledger) == 1

    await until(lambda: not one.held)
    await until(lambda: other.hold(JobName.RELEASE))
    assert not await one.hold(JobName.RELEASE), "it came back too late"


async def test_a_holder_that_hangs_keeps_its_jobs_for_a_while_only(dsn: str):
    hanging = Locks(
        dsn, Metrics(CollectorRegistry()).job_held, Absence(15), silence_seconds=0.3
    )
    other = Locks(dsn, Metrics(CollectorRegistry()).job_held, Absence(15))
    try:
        assert await hanging.hold(JobName.RELEASE)

        await until(lambda: other.hold(JobName.RELEASE), 5)

        # It learns of its loss with its next breath, and asks for the job like anyone.
        await until(lambda: not hanging.held, 5)
        assert not await hanging.hold(JobName.RELEASE)
    finally:
        await hanging.close()
        await other.close()


async def test_a_session_that_ended_in_a_freeze_is_an_outage_of_the_ledger(dsn: str):
    locks = Locks(
        dsn, Metrics(CollectorRegistry()).job_held, Absence(15), silence_seconds=0.3
    )
    try:
        assert await locks.hold(JobName.RELEASE)
        # A frozen process reads nothing, and asks again first of all.
        time.sleep(2.2)  # noqa: ASYNC251

        with pytest.raises(ledgers.AWAY):
            await locks.hold(JobName.RELEASE)

        assert not locks.held
        assert await locks.hold(JobName.RELEASE)
    finally:
        await locks.close()


async def test_a_job_runs_in_one_scheduler_and_goes_on_in_the_other_when_its_lock_is_lost(
    make_locks: MakeLocks,
):
    one, other = make_locks(), make_locks()
    steps: Counter[str] = Counter()

    async def step_of_one() -> Done:
        steps["one"] += 1
        return Done()

    async def step_of_other() -> Done:
        steps["other"] += 1
        return Done()

    async with running(step_of_one, holder=one):
        await until(lambda: steps["one"] > 5)
        async with running(step_of_other, holder=other):
            await until(lambda: steps["one"] > 50)
            assert steps["other"] == 0
            await one.close()
            assert await other.hold(JobName.RELEASE)
            seen = steps["one"]
            await until(lambda: steps["other"] > 50)
            assert steps["one"] <= seen + 1


async def test_a_holder_that_hears_nothing_from_the_ledger_gives_its_jobs_up(dsn: str):
    registry = CollectorRegistry()
    series = "tocsin_scheduler_job_held", {"job": "release"}
    async with relay(dsn) as wire:
        absence = Absence(15)
        locks = Locks(wire.url, Metrics(registry).job_held, absence)
        assert await locks.hold(JobName.RELEASE)
        assert absence.doubt_seconds == 0
        assert registry.get_sample_value(*series) == 1

        wire.open.clear()
        await until(lambda: _is_away(locks), 10)

        assert locks.held == frozenset()
        assert registry.get_sample_value(*series) == 0
        assert absence.doubt_seconds > 0
        wire.open.set()
        await until(lambda: locks.hold(JobName.RELEASE))
        await locks.close()


async def _is_away(locks: Locks) -> bool:
    try:
        await locks.hold(JobName.RELEASE)
    except ledgers.AWAY:
        return True
    return False
