import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from ops.embedded import folder as folders
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import ChildFailed, PortLost
from ops.embedded.folder import DataFolder
from ops.embedded.supervisor import Supervisor
from tests.integration.small_stack import QUICK, small
from tests.waiting import until


class Watched:
    """A supervisor and what it said and told."""

    def __init__(self, folder: DataFolder) -> None:
        self.said: list[str] = []
        self.told: list[dict[str, int]] = []
        self.diary = folder.path / "diary"
        self.diary.touch()
        self.supervisor = Supervisor(
            folder,
            say=self.said.append,
            on_change=lambda: self.told.append(self.supervisor.pids),
            restarts=QUICK,
            drain_seconds={stage: 2.0 - 0.4 * stage for stage in Stage},
        )

    def small(self, name: str, stage: Stage = Stage.WORKERS, *options: str) -> Spec:
        return small(name, stage, self.diary, *options)

    def notes(self) -> list[str]:
        return self.diary.read_text().splitlines()

    async def heard(self, words: str) -> str:
        def lines() -> list[str]:
            return [line for line in self.said if words in line]

        return (await until(lines))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    with folders.opened(tmp_path) as folder:
        yield folder


@pytest_asyncio.fixture
async def watched(folder: DataFolder) -> AsyncIterator[Watched]:
    watched = Watched(folder)
    yield watched
    await watched.supervisor.kill()
    assert watched.supervisor.running == []


async def test_children_stop_stage_by_stage(watched: Watched) -> None:
    stages = {
        "server": Stage.SERVERS,
        "provider": Stage.PROVIDERS,
        "worker": Stage.WORKERS,
        "door": Stage.DOORS,
    }
    await watched.supervisor.start(
        watched.small(name, stage, "--slow-to-stop", "0.05")
        for name, stage in stages.items()
    )
    assert set(watched.supervisor.pids) == set(stages)

    await watched.supervisor.drain()

    assert watched.supervisor.running == []
    stopped = [note.split()[0] for note in watched.notes() if "stopped" in note]
    assert stopped == ["door", "worker", "provider", "server"]


async def test_a_crashed_child_comes_back_on_its_port(watched: Watched) -> None:
    spec = watched.small("worker")
    await watched.supervisor.start([spec])
    first = watched.supervisor.pids["worker"]

    psutil.Process(first).kill()
    await watched.heard("worker is back")

    second = watched.supervisor.pids["worker"]
    assert second != first
    assert spec.ready is not None
    assert await spec.ready()
    assert watched.told[-1] == {"worker": second}
    assert watched.said[0] == (
        "worker was ended by SIGKILL; starting it again in 0.05 s"
    )


async def test_pauses_grow_until_a_child_is_given_up(
    watched: Watched, tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    await watched.supervisor.start(
        [watched.small("worker", Stage.WORKERS, "--crash-while", str(trouble))]
    )
    trouble.touch()
    psutil.Process(watched.supervisor.pids["worker"]).kill()

    with pytest.raises(ChildFailed, match="3 crashes in a row") as caught:
        await asyncio.wait_for(watched.supervisor.failure(), 10)

    assert caught.value.lines == ["worker found trouble and gives up"]
    assert [line.split(" in ")[1] for line in watched.said] == ["0.05 s", "0.1 s"]


async def test_a_child_that_cannot_start_says_its_last_words(
    watched: Watched, tmp_path: Path
) -> None:
    with pytest.raises(ChildFailed) as caught:
        await watched.supervisor.start(
            [watched.small("worker", Stage.WORKERS, "--crash-while", str(tmp_path))]
        )

    assert str(caught.value).startswith("worker exited with code 1 before it was ready")
    assert caught.value.lines == [f"worker found {tmp_path.name} and gives up"]


async def test_a_port_taken_meanwhile_is_told_apart(watched: Watched) -> None:
    spec = watched.small("worker")
    with socket.create_server(("127.0.0.1", spec.ports[0])), pytest.raises(PortLost):
        await watched.supervisor.start([spec])


async def test_a_child_that_does_not_listen_is_killed_in_time(watched: Watched) -> None:
    await watched.supervisor.start(
        [watched.small("door", Stage.DOORS, "--deaf"), watched.small("worker")]
    )

    async with asyncio.timeout(5):
        await watched.supervisor.drain()

    assert watched.supervisor.running == []
    assert "door did not stop in time and was killed" in watched.said
    assert watched.notes()[-1] == "worker stopped"


async def test_a_frozen_child_still_drains(watched: Watched) -> None:
    await watched.supervisor.start([watched.small("worker")])
    psutil.Process(watched.supervisor.pids["worker"]).suspend()

    await watched.supervisor.drain()

    assert watched.notes()[-1] == "worker stopped"


async def test_a_task_that_fails_says_why(watched: Watched) -> None:
    task = Spec(name="migrate", argv=("/bin/sh", "-c", "echo no such table; exit 3"))

    with pytest.raises(ChildFailed, match="migrate exited with code 3") as caught:
        await watched.supervisor.run(task)

    assert caught.value.lines == ["no such table"]


async def test_a_successor_ends_what_a_killed_run_left(tmp_path: Path) -> None:
    with folders.opened(tmp_path) as folder:
        left = folder.child(small("server", Stage.SERVERS, tmp_path / "diary"))
        await left.start()
    assert left.pid

    with folders.opened(tmp_path) as folder:
        assert folder.leftovers == ("server",)
        assert left.pid is None


async def test_a_successor_spares_a_stranger_with_the_same_pid(tmp_path: Path) -> None:
    with folders.opened(tmp_path) as folder:
        other = folder.child(small("server", Stage.SERVERS, tmp_path / "diary"))
        await other.start()
    roster = tmp_path / "processes.json"
    created = psutil.Process(other.pid).create_time()
    roster.write_text(roster.read_text().replace(str(created), str(created - 60)))

    with folders.opened(tmp_path) as folder:
        assert folder.leftovers == ()
    assert other.pid
    other.send(signal.SIGTERM)
    await other.exited()
