"""Two schedulers: every job is one's at a time, and the other's when its holder is gone."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import psutil
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.mesh import Mesh, running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

SCHEDULERS = ("scheduler-1", "scheduler-2")
#: A holder that hangs is given ten seconds; one that died, none.
MOVES_WITHIN_SECONDS = {"kill": 8.0, "suspend": 20.0}
#: A lock without anybody, between the end of one session and the next scheduler that asks.
VACANT_AT_MOST_SECONDS = 8.0
_LOOK_SECONDS = 0.02


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with running_mesh(tmp_path, "--schedulers", "2") as mesh:
        yield mesh


class LockWatch:
    """Looks at the ledger's locks again and again, and keeps who held each.

    A holder is a session: the database gives a lock to one at a time, and a scheduler acts
    only while its session lives.
    """

    def __init__(self, ledger: asyncpg.Connection) -> None:
        self._ledger = ledger
        self._seen_at: dict[int, float] = {}
        #: By lock, in the order they came.
        self.holders: dict[int, list[int]] = defaultdict(list)
        self.longest_vacant_seconds = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        rows = await self._ledger.fetch(
            """
            SELECT objid::bigint AS lock, array_agg(pid) AS holders FROM pg_locks
             WHERE locktype = 'advisory' AND granted
               AND pid IN (SELECT pid FROM pg_stat_activity
                            WHERE application_name = 'tocsin-scheduler-locks')
             GROUP BY classid, objid
            """
        )
        now = time.monotonic()
        for lock, holders in rows:
            vacant = now - self._seen_at.get(lock, now)
            self.longest_vacant_seconds = max(self.longest_vacant_seconds, vacant)
            self._seen_at[lock] = now
            if self.holders[lock][-1:] != holders:
                self.holders[lock] += holders

    def moved(self) -> list[list[int]]:
        """Return the holders of each lock that had more than one."""
        return [holders for holders in self.holders.values() if len(holders) > 1]


@asynccontextmanager
async def watched_locks(mesh: Mesh) -> AsyncIterator[LockWatch]:
    ledger = await asyncpg.connect(mesh.addresses["postgres"])
    watch = LockWatch(ledger)
    await watch.look()
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await ledger.close()


async def held(mesh: Mesh, *schedulers: str) -> Mapping[str, set[str]]:
    """Return the jobs that each scheduler says it holds."""
    jobs: dict[str, set[str]] = {}
    async with aiohttp.ClientSession() as http:
        for scheduler in schedulers:
            async with http.get(mesh.addresses["metrics"][scheduler]) as response:
                text = await response.text()
            jobs[scheduler] = {
                sample.labels["job"]
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "tocsin_scheduler_job_held" and sample.value == 1
            }
    return jobs


@pytest.mark.parametrize("fault", ["kill", "suspend"])
async def test_jobs_move_when_their_holder_is_killed_or_frozen(
    mesh: Mesh, fault: str
) -> None:
    async def all_are_held() -> Mapping[str, set[str]]:
        jobs = await held(mesh, *SCHEDULERS)
        assert len(jobs["scheduler-1"] | jobs["scheduler-2"]) >= 9
        return jobs

    jobs = await until(all_are_held, 10)
    assert not jobs["scheduler-1"] & jobs["scheduler-2"]
    holder = next(name for name in SCHEDULERS if "release" in jobs[name])
    [other] = set(SCHEDULERS) - {holder}
    due = datetime.now(UTC) + timedelta(seconds=3)
    notification_id = await mesh.create(scheduled_at=due.isoformat())
    async with watched_locks(mesh) as watch:
        before = len(watch.holders)
        await strike(mesh, fault, holder, other, jobs[holder], notification_id)

    assert len(watch.holders) == before >= len(jobs[holder] | jobs[other])
    assert len(watch.moved()) >= len(jobs[holder])
    assert all(len(set(holders)) == len(holders) for holders in watch.moved())
    assert watch.longest_vacant_seconds < VACANT_AT_MOST_SECONDS


async def strike(
    mesh: Mesh,
    fault: str,
    holder: str,
    other: str,
    jobs: set[str],
    notification_id: str,
) -> None:
    """Kill or freeze a holder until its jobs have moved, then see it come back modestly."""
    process = psutil.Process(mesh.pid(holder))
    # Frozen, the supervisor does not start the killed one again.
    keeper = process if fault == "suspend" else psutil.Process(mesh.process.pid)
    keeper.suspend()
    try:
        if fault == "kill":
            process.kill()

        async def moved() -> bool:
            return jobs <= (await held(mesh, other))[other]

        await until(moved, MOVES_WITHIN_SECONDS[fault])
        await mesh.status_is(notification_id, "delivered", within=10)
    finally:
        keeper.resume()
    if fault == "kill":
        await mesh.restarted(holder, process.pid)

    async def nothing_is_held_twice() -> bool:
        try:
            jobs = await held(mesh, *SCHEDULERS)
        except aiohttp.ClientConnectionError:
            return False  # it has not opened its door yet
        return not jobs["scheduler-1"] & jobs["scheduler-2"]

    await until(nothing_is_held_twice, 20)
