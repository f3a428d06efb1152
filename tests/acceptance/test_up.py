"""``tocsin up`` as its user meets it: start, stop, start again."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.mesh import running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_drains_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running_mesh(tmp_path) as mesh:
        await mesh.create()

        assert await mesh.stop(number) == 0


async def test_data_lives_from_run_to_run(tmp_path: Path) -> None:
    async with running_mesh(tmp_path) as mesh:
        notification_id = await mesh.create()
        await mesh.status_is(notification_id, "delivered", within=5)

    async with running_mesh(tmp_path) as mesh:
        assert (await mesh.get(notification_id))["status"] == "delivered"


async def test_it_cleans_up_after_one_that_was_killed(tmp_path: Path) -> None:
    async with running_mesh(tmp_path) as mesh:
        notification_id = await mesh.create()
        family = mesh.family()
        os.kill(mesh.process.pid, signal.SIGKILL)
        await mesh.process.wait()

    async with running_mesh(tmp_path) as mesh:
        await mesh.status_is(notification_id, "delivered", within=30)

        async def all_gone() -> bool:
            return not any(_lives(process) for process in family)

        await until(all_gone, 5)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_it_says_when_the_data_folder_is_in_use(tmp_path: Path) -> None:
    async with running_mesh(tmp_path):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", "up", "--port", "0"),
            *("--data", str(tmp_path / "data")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, words = await asyncio.wait_for(second.communicate(), 30)

    assert second.returncode != 0
    assert b"in use" in words
    assert b"Traceback" not in words
