"""Two schedulers: every job is one's at a time, and the other's when its holder is gone."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import psutil
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.mesh import Mesh, running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

SCHEDULERS = ("scheduler-1", "scheduler-2")
#: A holder that hangs is given ten seconds; one that died, none.
MOVES_WITHIN_SECONDS = 20


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with running_mesh(tmp_path, "--schedulers", "2") as mesh:
        yield mesh


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
    process = psutil.Process(mesh.pid(holder))
    getattr(process, fault)()
    try:
        if fault == "kill":
            await mesh.status_is(notification_id, "delivered", within=10)
            return

        async def moved() -> bool:
            return jobs[holder] <= (await held(mesh, other))[other]

        await until(moved, MOVES_WITHIN_SECONDS)
        await mesh.status_is(notification_id, "delivered", within=10)
    finally:
        if fault == "suspend":
            process.resume()

    async def nothing_is_held_twice() -> bool:
        jobs = await held(mesh, *SCHEDULERS)
        return not jobs["scheduler-1"] & jobs["scheduler-2"]

    await until(nothing_is_held_twice, 5)
