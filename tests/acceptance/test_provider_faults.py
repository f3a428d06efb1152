"""Providers that fail in every way, and dispatchers that are killed while they send."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.acceptance.dispatchers import own_dispatchers, shorten_waits
from tests.acceptance.mesh import Mesh, running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)

#: Retries and breakers as they are, only sooner.
RETRIES = "[default]\ndelays_seconds = [0.5, 1]\n"
ROUTES = "[health]\nopen_seconds = 0.5\nopen_at_most_seconds = 1\nreturn_seconds = 1\n"

SEED = 20
KILLS = 20


def sms(name: str, number: int) -> list[dict[str, Any]]:
    """Bodies that nobody else sends."""
    return [
        {
            "channel": "sms",
            "recipient": "+15555550001",
            "content": f"{name} {n}",
            "max_attempts": 10,
        }
        for n in range(number)
    ]


def soon(folder: Path) -> dict[str, str]:
    (folder / "retries.toml").write_text(RETRIES)
    (folder / "routes.toml").write_text(ROUTES)
    return {
        "TOCSIN_DISPATCHER_RETRIES_FILE": str(folder / "retries.toml"),
        "TOCSIN_DISPATCHER_ROUTES": str(folder / "routes.toml"),
        "TOCSIN_WEBHOOK_TIMEOUT_SECONDS": "0.5",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    """A mesh that tries again soon."""
    folder = tmp_path_factory.mktemp("impatient")
    environment = soon(folder)
    async with running_mesh(
        folder, "--channel-rate", "0", environment=environment
    ) as mesh:
        yield mesh


def by_key(received: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return what the provider received of each notification, oldest first."""
    calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in reversed(list(received)):
        calls[message["idempotency_key"]].append(message)
    return calls


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("mode", "outcome", "code", "seconds"),
    [
        # Longer than all attempts take where nothing holds them back.
        ("transient", "transient", "503", 30),
        ("timeout", "transient", "timeout", 0),
        ("reset", "transient", "network", 0),
        ("garbage", "transient", "network", 0),
        ("throttled", "throttled", "429", 0),
    ],
)
async def test_what_a_failing_provider_did_not_take_is_sent_again_until_it_does(
    impatient: Mesh, mode: str, outcome: str, code: str, seconds: float
) -> None:
    mesh = impatient
    await mesh.behave(mode=mode)
    batch_id = await mesh.create_batch(sms(mode, 60))
    ids = {one["id"] for one in (await mesh.batch(batch_id))["notifications"]}

    async def calls() -> dict[str, list[dict[str, Any]]]:
        found = by_key(await mesh.received())
        return {key: found[key] for key in ids & found.keys()}

    async def fails_again() -> bool:
        return sum(len(sends) > 1 for sends in (await calls()).values()) >= 5

    begun = time.monotonic()
    await until(fails_again, 30)
    await asyncio.sleep(begun + seconds - time.monotonic())
    await mesh.behave(mode="accept")
    await mesh.batches_are([batch_id], "delivered", within=60)

    calls_of = await calls()
    assert calls_of.keys() == ids
    attempts = {
        one["id"]: one["attempts"]
        for one in (await mesh.batch(batch_id))["notifications"]
    }
    assert {id_: len(sends) for id_, sends in calls_of.items()} == attempts
    for sends in calls_of.values():
        assert [send["outcome"] for send in sends] == [
            *[mode] * (len(sends) - 1),
            "accepted",
        ]
        assert len({send["content"] for send in sends}) == 1
    tried_again = next(id_ for id_, number in attempts.items() if number > 1)
    retries = [e for e in await mesh.trace(tried_again) if e["event"] == "retrying"]
    assert len(retries) == attempts[tried_again] - 1
    assert {(e["details"]["outcome"], e["details"]["code"]) for e in retries} == {
        (outcome, code)
    }
    if mode == "throttled":
        assert all(_waited(sends, timedelta(seconds=2)) for sends in calls_of.values())


def _waited(sends: list[dict[str, Any]], at_least: timedelta) -> bool:
    times = [datetime.fromisoformat(send["received_at"]) for send in sends]
    # What the dispatcher reads as two seconds began when the answer was written.
    slack = timedelta(milliseconds=300)
    return all(b - a >= at_least - slack for a, b in pairwise(times))


async def test_dispatchers_killed_again_and_again_lose_nothing_and_double_nothing_unseen(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A send that was under way at a kill is made again: under the same key, and counted."""
    rng = Random(SEED)
    names = ("own-1", "own-2")
    batches: list[str] = []
    over = asyncio.Event()
    async with running_mesh(tmp_path, "--dispatchers", "0") as mesh:
        await mesh.behave(latency_ms=30)
        await shorten_waits(mesh)
        ledger = await asyncpg.connect(mesh.addresses["postgres"])
        with own_dispatchers(mesh, tmp_path, **soon(tmp_path)) as dispatchers:
            for name in names:
                dispatchers.start(name)
            load = asyncio.create_task(_send_until(over, mesh, batches))
            for _ in range(KILLS):
                name = rng.choice(names)
                await until(partial(_is_sending, ledger, name), 30)
                await asyncio.sleep(rng.uniform(0, 0.2))
                dispatchers.kill(name)
                dispatchers.start(name)
            over.set()
            await load
            await mesh.batches_are(batches, "delivered", within=90)

            rows = await ledger.fetch(
                "SELECT id::text, content, attempts, lost_leases,"
                " (SELECT count(*) FROM notification_event e"
                "   WHERE e.notification_id = n.id AND e.event = 'retrying') AS retried"
                " FROM notification n"
            )
            calls = by_key(await mesh.received())
        await ledger.close()

    assert calls.keys() == {row["id"] for row in rows}
    twice: Counter[str] = Counter()
    for row in rows:
        sends = calls[row["id"]]
        assert {send["content"] for send in sends} == {row["content"]}
        assert len(sends) <= row["attempts"]
        twice[row["id"]] = len(sends) - 1
        # a busy machine makes a send too slow, which is then retried
        assert twice[row["id"]] <= row["lost_leases"] + row["retried"]
        assert row["lost_leases"] <= 3
    record_property("seed", SEED)
    record_property("accepted", len(rows))
    record_property("sent_again", twice.total())
    record_property("lost_leases", sum(row["lost_leases"] for row in rows))
    assert sum(row["lost_leases"] for row in rows) > 0, "the kills met sends under way"


async def _is_sending(ledger: "asyncpg.Connection[Any]", name: str) -> bool:
    return bool(
        await ledger.fetchval(
            "SELECT EXISTS (SELECT FROM notification WHERE status = 'processing'"
            " AND queued_at IS NOT NULL AND lease_until > now()"
            " AND lease_owner LIKE $1 || '/%')",
            name,
        )
    )


async def _send_until(over: asyncio.Event, mesh: Mesh, batches: list[str]) -> None:
    while not over.is_set():
        batches.append(await mesh.create_batch(sms(f"batch {len(batches)}", 100)))
        await asyncio.sleep(0.3)
