"""The commands over dead letters, against a real gateway and what the scheduler runs."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest_asyncio
from prometheus_client import CollectorRegistry

from contracts.channels import Channel
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.operation_store import OperationStore
from scheduler.operations import Operations
from scheduler.publisher import Publisher
from scheduler.store import Store
from tests.integration.commands import Finished, finished, started, tocsin
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import running_gateway
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import count, give_up, tally
from tests.waiting import until

BACK = ("--reason", "the provider is back")


@pytest_asyncio.fixture
async def mesh(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> AsyncIterator[dict[str, str]]:
    """A gateway, and a scheduler's operations; yields the environment of commands."""
    metrics = Metrics(CollectorRegistry())
    publisher = Publisher(bus, Store(ledger), metrics, late_seconds=5.0)
    operations = Operations(bus, OperationStore(ledger), publisher, metrics)
    async with running_gateway(settings) as gateway, running(operations.step):
        yield {"TOCSIN_GATEWAY_URL": f"http://127.0.0.1:{gateway.port}"}


async def failed(
    ledger: Ledger, number: int, channel: Channel = Channel.SMS
) -> list[UUID]:
    ids = await seed_notifications(ledger, None, number, channel=channel)
    await give_up(ledger, ids)
    return ids


async def dlq(mesh: dict[str, str], *arguments: str) -> Finished:
    return await tocsin("dlq", *arguments, environment=mesh)


async def test_letters_are_listed_counted_and_exported(
    mesh: dict[str, str], ledger: Ledger, tmp_path: Path
) -> None:
    ids = await failed(ledger, 3)
    await failed(ledger, 102, Channel.EMAIL)
    path = tmp_path / "letters.ndjson"

    listed = await dlq(mesh, "list", "--channel", "sms")
    grouped = await dlq(mesh, "list", "--groups")
    exported = await dlq(mesh, "export", "--output", str(path))
    printed = await dlq(mesh, "export", "--channel", "sms")
    as_json = await dlq(mesh, "list", "--limit", "1", "--json")

    assert [listed.code, grouped.code, exported.code, printed.code] == [0] * 4
    assert len(listed.out.splitlines()) == 3
    assert all(str(id_) in listed.out for id_ in ids)
    assert "permanent, refused" in listed.out
    assert [line.split()[:2] for line in grouped.out.splitlines()] == [
        ["102", "email"],
        ["3", "sms"],
    ]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["id"] for line in lines}) == 105
    assert exported.err == "105 dead letters\n"
    assert len(printed.out.splitlines()) == 3
    assert len(json.loads(as_json.out)["items"]) == 1


async def test_a_replay_is_looked_at_first_and_then_followed_to_its_end(
    mesh: dict[str, str], ledger: Ledger
) -> None:
    ids = await failed(ledger, 4)
    await ledger.fetch(
        "UPDATE notification SET expires_at = now() WHERE id = $1", ids[0]
    )

    looked = await dlq(mesh, "replay", "--all", "--dry-run")
    assert looked.code == 0
    assert looked.out.splitlines()[:2] == [
        "replay: 3",
        "left as they are, expired: 1",
    ]
    assert await tally(ledger, "status", ids) == {"failed": 4}

    done = await dlq(mesh, "replay", "--all", "--yes", *BACK, "--rate", "100")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("3 of 4 done, 1 left as they are\n")
    assert await tally(ledger, "status", ids) == {"queued": 3, "failed": 1}
    one = await dlq(mesh, "discard", str(ids[0]), "--yes", *BACK, "--json")
    assert json.loads(one.out)["done"] == 1


async def test_what_is_discarded_is_exported_first(
    mesh: dict[str, str], ledger: Ledger, tmp_path: Path
) -> None:
    await failed(ledger, 3)
    path = tmp_path / "letters.ndjson"

    done = await dlq(mesh, "discard", "--all", "--yes", *BACK, "--export", str(path))

    assert (done.code, done.err) == (0, "")
    assert len(path.read_text().splitlines()) == 3
    assert await count(ledger, "dead_letter WHERE resolution = 'discarded'") == 3


async def test_an_interrupted_command_stops_the_replay(
    mesh: dict[str, str], ledger: Ledger
) -> None:
    ids = await failed(ledger, 50)
    arguments = ("dlq", "replay", "--all", "--yes", *BACK, "--rate", "5")

    async def begun() -> bool:
        return (await tally(ledger, "status", ids))["queued"] > 0

    async with started(*arguments, environment=mesh) as process:
        await until(begun, 10)
        process.send_signal(signal.SIGINT)
        code, _, err = await finished(process)

    assert code == 130
    assert "stopped: " in err
    [row] = await ledger.fetch("SELECT state FROM operation")
    assert row["state"] == "stopped"
    assert (await tally(ledger, "status", ids))["failed"] > 30


async def sleeps(pid: int) -> bool:
    """Say whether a process waits, as it does where a person is to type something."""
    arguments = ("ps", "-o", "stat=", "-p", str(pid))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdout=pipe)
    out, _ = await process.communicate()
    return out.startswith(b"S")


async def test_an_interrupt_answers_the_question_with_no(
    mesh: dict[str, str], ledger: Ledger
) -> None:
    ids = await failed(ledger, 3)
    terminal, stdin = os.openpty()
    arguments = ("dlq", "replay", "--all", *BACK)
    try:
        async with started(*arguments, environment=mesh, stdin=stdin) as process:
            assert process.stderr is not None
            async with asyncio.timeout(20):
                await process.stderr.readuntil(b"Go on?")
            await until(lambda: sleeps(process.pid))
            process.send_signal(signal.SIGINT)
            code, out, err = await finished(process)
    finally:
        os.close(terminal)
        os.close(stdin)

    assert (code, out) == (1, "")
    assert err.endswith("Aborted!\n")
    assert await count(ledger, "operation") == 0
    assert await tally(ledger, "status", ids) == {"failed": 3}


async def test_a_recipient_is_erased(mesh: dict[str, str], ledger: Ledger) -> None:
    ids = await failed(ledger, 2)
    who = ("--recipient", "+15555550100", "--reason", "they asked")

    looked = await tocsin("privacy", "erase", *who, "--dry-run", environment=mesh)
    erased = await tocsin("privacy", "erase", *who, "--yes", environment=mesh)

    assert (looked.code, looked.out) == (0, "erase: 2\n")
    assert erased.code == 0, erased.err
    assert erased.out.endswith("2 of 2 done\n")
    assert await tally(ledger, "recipient", ids) == {"[erased]": 2}
