import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

import console
from console.source.recorded import Recording
from contracts import messages, subjects
from contracts.breakers import BreakerCondition
from contracts.channels import LANES
from ops.runtime.bus import Bus
from tests.terminal import terminal
from tests.unit.console.world import NOON, change, provider, reading, state
from tests.waiting import until

ROOT = Path(console.__file__).parents[1]
CONSOLE = (sys.executable, "-m", "console")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


async def run(
    folder: Path, environment: dict[str, str], *arguments: str
) -> tuple[int | None, str, str]:
    """Run a command to its end; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *CONSOLE,
        *arguments,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture
async def speaking(bus: Bus) -> AsyncIterator[Bus]:
    """A bus on which a dispatcher reports itself five times a second."""

    providers = [provider(breaker=BreakerCondition.OPEN), provider("backup")]

    async def speak() -> None:
        for number in range(10**6):
            lanes = [reading(lane, delivered=number) for lane in LANES]
            told = state(NOON + number / 5, lanes=lanes, providers=providers)
            subject = subjects.mesh_state(told.service, told.instance)
            await bus.nc.publish(subject, msgspec.json.encode(told))
            event = change(NOON, number)
            subject = subjects.status(
                event.tenant, event.channel, event.status, event.notification_id
            )
            await bus.nc.publish(subject, messages.encode(event))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(speak())
    yield bus
    task.cancel()


async def test_without_a_mesh_it_says_what_to_do(
    tmp_path: Path, environment: dict[str, str]
):
    for arguments in ([], ["lanes"], ["services", "--json"], ["feed"]):
        code, out, err = await run(tmp_path, environment, *arguments)

        assert code == 2
        assert out == ""
        assert err.startswith("tocsin console: no mesh to watch: ")
        assert err.count("\n") == 1


async def test_a_bus_that_is_away_ends_a_plain_command(
    tmp_path: Path, environment: dict[str, str]
):
    url = "nats://127.0.0.1:1"

    code, out, err = await run(tmp_path, environment, "--nats-url", url, "lanes")

    assert (code, out) == (1, "")
    assert err == ("tocsin console: the bus cannot be reached: connection refused\n")


async def test_lanes_are_printed_from_the_mesh_that_runs_here(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    (tmp_path / ".tocsin").mkdir()
    ready = {"nats": nats_url, "pids": {"nats": os.getpid()}}
    (tmp_path / ".tocsin" / "ready.json").write_text(json.dumps(ready))

    code, out, err = await run(tmp_path, environment, "lanes", "--json")

    assert (code, err) == (0, "")
    said = json.loads(out)
    assert len(said["lanes"]) == len(LANES)
    assert said["lanes"][0]["in_flight"] == 0
    assert said["lanes"][0]["rate"] > 0


async def test_what_a_filter_leaves_is_printed(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    arguments = ("--nats-url", nats_url, "providers", "--where", "breaker:open")

    code, out, err = await run(tmp_path, environment, *arguments)

    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.startswith("provider")
    assert [row.split()[:2] for row in rows] == [["acme", "open"]]


async def test_where_there_is_no_terminal_it_names_the_plain_commands(
    tmp_path: Path, environment: dict[str, str]
):
    code, out, err = await run(
        tmp_path, environment, "--nats-url", "nats://127.0.0.1:1"
    )

    assert (code, out) == (2, "")
    assert err == (
        "tocsin console: this is no terminal; in scripts add one of:"
        " lanes, providers, services, schedule, dlq, feed\n"
    )


async def test_dead_letters_need_a_gateway_and_say_so(
    tmp_path: Path, environment: dict[str, str]
):
    bus = ("--nats-url", "nats://127.0.0.1:1")

    code, out, err = await run(tmp_path, environment, *bus, "dlq")
    assert (code, out) == (2, "")
    assert "no gateway to ask: say where it is with --gateway-url" in err

    away = ("--gateway-url", "http://127.0.0.1:1")
    code, out, err = await run(tmp_path, environment, *bus, *away, "dlq", "--json")
    assert (code, out) == (1, "")
    assert "http://127.0.0.1:1" in err
    assert err.count("\n") == 1


async def test_a_filter_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, environment: dict[str, str]
):
    arguments = (
        "--nats-url",
        "nats://127.0.0.1:1",
        "schedule",
        "--where",
        "colour:red",
    )

    code, out, err = await run(tmp_path, environment, *arguments)

    assert (code, out) == (2, "")
    assert "no field 'colour'" in err


async def test_the_feed_is_printed_line_by_line(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    process = await asyncio.create_subprocess_exec(
        *CONSOLE,
        "--nats-url",
        nats_url,
        "feed",
        "--json",
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.send_signal(signal.SIGINT)

    assert json.loads(line)["status"] == "delivered"
    assert await process.wait() == 0


async def test_it_runs_in_a_terminal_and_leaves_it_as_it_was(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    async with terminal(
        CONSOLE, tmp_path, environment, "--nats-url", nats_url
    ) as screen:
        await until(lambda: screen.shows("● live"), 20)
        await until(lambda: screen.shows("sms"), 20)
        screen.press("6")
        await until(lambda: screen.shows("host-1"), 20)
        screen.press("\x11")

        assert await asyncio.wait_for(screen.process.wait(), 10) == 0
        await until(lambda: screen.shows("\x1b[?1049l"))


async def test_it_opens_although_the_bus_is_away_and_ends_on_sigterm(
    tmp_path: Path, environment: dict[str, str]
):
    arguments = ("--nats-url", "nats://127.0.0.1:1", "--ascii", "--theme", "light")
    async with terminal(CONSOLE, tmp_path, environment, *arguments) as screen:
        await until(lambda: screen.shows("No connection: connection refused"), 20)
        screen.process.terminate()

        assert await asyncio.wait_for(screen.process.wait(), 10) == 0
        await until(lambda: screen.shows("\x1b[?1049l"))


async def test_it_ends_with_its_terminal(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    """A connection over ssh that breaks leaves no console behind."""
    arguments = ("--nats-url", nats_url, "--record", "night")
    async with terminal(CONSOLE, tmp_path, environment, *arguments) as screen:
        await until(lambda: screen.shows("● live"), 20)
        screen.hang_up()

        assert await asyncio.wait_for(screen.process.wait(), 10) == -signal.SIGHUP

    assert len(Recording(tmp_path / "night")) > 3


async def test_a_recording_can_be_watched_again(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    arguments = ("--nats-url", nats_url, "--record", "night")
    async with terminal(CONSOLE, tmp_path, environment, *arguments) as screen:
        await until(lambda: screen.shows("● live"), 20)
        screen.press("q")
        await asyncio.wait_for(screen.process.wait(), 10)

    async with terminal(
        CONSOLE, tmp_path, environment, "--replay", "night", "--speed", "100"
    ) as screen:
        await until(lambda: screen.shows("recording ended"), 20)
        screen.press("q")

        assert await asyncio.wait_for(screen.process.wait(), 10) == 0


async def test_what_cannot_be_recorded_or_replayed_is_said(
    tmp_path: Path, environment: dict[str, str]
):
    (tmp_path / "text").write_text("hello\n")
    url = "nats://127.0.0.1:1"

    replay = await run(tmp_path, environment, "--replay", "text")
    record = await run(
        tmp_path, environment, "--nats-url", url, "--record", "no/such/folder"
    )

    assert replay[0] == record[0] == 2
    assert "text, line 1" in replay[2]
    assert "No such file or directory" in record[2]


async def test_who_acts_and_through_which_gateway_is_checked_first(
    tmp_path: Path, environment: dict[str, str]
):
    url = ("--nats-url", "nats://127.0.0.1:1")
    for arguments, words in (
        (("--operator", "a\tb"), "printable characters"),
        (("--operator", "x" * 101), "printable characters"),
        (("--gateway-url", "gateway.example"), "no address of a gateway"),
    ):
        code, out, err = await run(tmp_path, environment, *url, *arguments)

        assert (code, out) == (2, "")
        assert words in " ".join(err.split())


async def test_with_rw_it_says_so(
    tmp_path: Path, environment: dict[str, str], nats_url: str, speaking: Bus
):
    async with terminal(
        CONSOLE, tmp_path, environment, "--nats-url", nats_url, "--rw"
    ) as screen:
        await until(lambda: screen.shows("● live"), 20)
        await until(lambda: screen.shows("rw"), 20)
        assert not screen.shows("read-only")
        screen.press("\x11")

        assert await asyncio.wait_for(screen.process.wait(), 10) == 0
