import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.embedded import folder as folders, logs
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import FolderUnusable, PortLost
from ops.embedded.folder import DataFolder
from ops.embedded.session import Session
from ops.embedded.stack import Size, Stack, plan
from tests.integration.small_stack import QUICK, small


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    with folders.opened(tmp_path / "data") as folder:
        yield folder


class Planned:
    """A session over one small service, which stops as soon as it is ready."""

    def __init__(self, folder: DataFolder, lost_ports: int = 0) -> None:
        self.said: list[str] = []
        self.pids: list[int] = []
        self.plans = 0
        self._folder = folder
        self._lost_ports = lost_ports
        self._doors = ExitStack()
        self.session = Session(
            folder=folder,
            plan=self.plan,
            ready_file=folder.path / "ready.json",
            say=self.said.append,
            announce=lambda _: self.session.stopping.set(),
            restarts=QUICK,
        )

    def plan(self) -> Stack:
        self.plans += 1
        spec = small("worker", Stage.WORKERS, self._folder.path / "diary")
        if self.plans <= self._lost_ports:
            self._doors.enter_context(
                socket.create_server(("127.0.0.1", spec.ports[0]))
            )
        return Stack(foundation=[], services=[spec], addresses={"gateway": "here"})

    async def run(self) -> None:
        with self._doors:
            await self.session.run()


async def test_ports_are_chosen_anew_when_one_is_lost(folder: DataFolder) -> None:
    planned = Planned(folder, lost_ports=2)

    await planned.run()

    assert planned.plans == 3
    assert (folder.path / "ready.json").exists()


async def test_losing_ports_again_and_again_ends_it(folder: DataFolder) -> None:
    with pytest.raises(PortLost):
        await Planned(folder, lost_ports=3).run()

    assert not (folder.path / "ready.json").exists()


async def test_the_ready_file_has_addresses_and_pids(folder: DataFolder) -> None:
    await Planned(folder).run()

    ready = json.loads((folder.path / "ready.json").read_text())
    assert ready["gateway"] == "here"
    assert set(ready["pids"]) == {"worker"}


async def test_a_ready_file_that_cannot_be_written_is_told_at_once(
    folder: DataFolder,
) -> None:
    planned = Planned(folder)
    planned.session.ready_file = folder.path / "nowhere" / "ready.json"

    with pytest.raises(FolderUnusable, match="cannot write the ready file"):
        await planned.run()
    assert planned.plans == 0


def by_name(stack: Stack) -> dict[str, Spec]:
    return {spec.name: spec for spec in [*stack.foundation, *stack.services]}


def test_the_mesh_has_servers_sandbox_and_services(folder: DataFolder) -> None:
    stack = plan(
        folder,
        Size(gateways=2, dispatchers=3, schedulers=2, channel_rate=7),
        {"A": "b"},
    )

    specs = by_name(stack)
    assert list(specs) == [
        *("nats", "postgres", "redis", "sandbox"),
        *("gateway-1", "gateway-2"),
        *("dispatcher-1", "dispatcher-2", "dispatcher-3"),
        "scheduler-1",
        "scheduler-2",
    ]
    ports = [port for spec in specs.values() for port in spec.ports]
    assert len(ports) == len(set(ports))
    dispatcher = specs["dispatcher-2"]
    assert dispatcher.env["A"] == "b"
    assert dispatcher.env["TOCSIN_INSTANCE"] == "dispatcher-2"
    assert dispatcher.env["TOCSIN_DISPATCHER_CHANNEL_RATE"] == "7"
    sandbox = stack.addresses["sandbox"]
    assert dispatcher.env["TOCSIN_WEBHOOK_URL"] == f"{sandbox}/send"
    for name in ("postgres_dsn", "nats_url", "redis_url"):
        address = stack.addresses[name.partition("_")[0]]
        assert dispatcher.env[f"TOCSIN_{name.upper()}"] == address
    metrics = stack.addresses["metrics"]
    assert isinstance(metrics, dict)
    assert set(specs) - set(metrics) == {"nats", "postgres", "redis"}


def test_the_first_gateway_has_the_port_that_was_asked_for(
    folder: DataFolder, unused_tcp_port: int
) -> None:
    stack = plan(folder, Size(gateways=2, port=unused_tcp_port), {})

    assert by_name(stack)["gateway-1"].ports == (unused_tcp_port,)
    assert stack.addresses["gateway"] == f"http://127.0.0.1:{unused_tcp_port}"


def test_a_provider_of_ones_own_takes_the_place_of_the_sandbox(
    folder: DataFolder,
) -> None:
    own = {"TOCSIN_WEBHOOK_URL": "http://127.0.0.1:9/send", "TOCSIN_NATS_URL": "not"}

    env = by_name(plan(folder, Size(), own))["dispatcher-1"].env

    assert env["TOCSIN_WEBHOOK_URL"] == own["TOCSIN_WEBHOOK_URL"]
    assert env["TOCSIN_NATS_URL"] != own["TOCSIN_NATS_URL"]


def test_a_temporary_folder_goes_and_takes_the_orphans_of_killed_runs_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with folders.temporary() as orphan, folders.opened(orphan):
        pass
    orphan.mkdir()
    (orphan / "lock").touch()
    with folders.temporary() as live, folders.opened(live):
        with folders.temporary() as other:
            assert not orphan.exists()
            assert live.exists()
        assert not other.exists()


async def test_a_log_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    writer = tmp_path / "worker.log"
    with writer.open("ab", buffering=0) as log:
        log.write(b"long" * 100)
        logs.trim(writer, limit_bytes=100)
        log.write(b"next\n")

    assert writer.read_bytes() == b"next\n"
    assert logs.previous(writer).read_bytes() == b"long" * 100
