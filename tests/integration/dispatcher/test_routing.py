"""Traffic leaves a provider that fails or lags, and comes back to it."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import structlog

from contracts.breakers import BreakerCondition
from contracts.channels import Channel
from contracts.mesh import ProviderReading
from contracts.settings import MeshSettings
from contracts.topology import BREAKERS, NOTIFY
from dispatcher.providers.noop import NoopProvider
from dispatcher.settings import DispatcherSettings
from ops.runtime import topology
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.values import read_value
from tests.integration.dispatcher.endpoint import (
    Endpoint,
    Gate,
    Received,
    Reply,
    running_endpoint,
)
from tests.integration.dispatcher.running import (
    Running,
    details_of,
    dispatcher_settings,
    have_status,
    row_of,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until

HEALTH = """
[health]
minimum_sends = 10
window_seconds = 2
open_seconds = 0.5
open_at_most_seconds = 0.5
slow_seconds = 0.2
return_seconds = 1
"""
ALONE = f"{HEALTH}[channels.sms]\nproviders = [{{ name = 'webhook' }}]\n"
WITH_BACKUP = f"""{HEALTH}
[providers.backup]
kind = "webhook"
[channels.sms]
providers = [{{ name = "webhook" }}, {{ name = "backup", weight = 0 }}]
"""


@dataclass
class World:
    """Two endpoints, and a dispatcher's settings with routes over them."""

    first: Endpoint
    backup: Endpoint
    routes: Path
    retries: Path
    shared: MeshSettings
    ids: list[UUID] = field(default_factory=list)

    def settings(self, routes: str, **overrides: Any) -> DispatcherSettings:
        self.routes.write_text(routes)
        return dispatcher_settings(
            self.shared,
            self.first.url,
            dispatcher_routes=self.routes,
            dispatcher_retries_file=self.retries,
            **{"dispatcher_concurrency": 10, **overrides},
        )


@pytest_asyncio.fixture
async def world(settings: MeshSettings, tmp_path: Path) -> AsyncIterator[World]:
    retries = tmp_path / "retries.toml"
    retries.write_text("[default]\ndelays_seconds = [0.3]\n")
    async with running_endpoint() as first, running_endpoint() as backup:
        os.environ["TOCSIN_BACKUP_URL"] = backup.url
        os.environ["TOCSIN_BACKUP_ALLOW_PRIVATE"] = "true"
        yield World(first, backup, tmp_path / "routes.toml", retries, settings)


async def provider(dispatcher: Running, name: str = "webhook") -> ProviderReading:
    state = await dispatcher.service.heartbeat.state()
    [reading] = [p for p in state.providers if p.name == name]
    return reading


async def is_(dispatcher: Running, condition: BreakerCondition) -> bool:
    return (await provider(dispatcher)).breaker is condition


async def used(ledger: Ledger, ids: Sequence[UUID]) -> Counter[str]:
    rows = await ledger.fetch(
        "SELECT provider FROM notification WHERE id = ANY($1)", ids
    )
    return Counter(row["provider"] for row in rows)


async def test_without_a_second_provider_an_open_breaker_costs_nothing(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    world.first.answer = lambda _: Reply(500)
    ids = await seed_notifications(ledger, bus, 150)
    async with running_dispatcher(world.settings(ALONE)) as dispatcher:
        await until(lambda: is_(dispatcher, BreakerCondition.OPEN))
        await until(lambda: world.first.in_flight == 0)
        calls = len(world.first.received)
        before = await bus.js.consumer_info(NOTIFY.name, "sms-normal")
        await until(lambda: len(world.first.received) >= calls + 6)
        after = await bus.js.consumer_info(NOTIFY.name, "sms-normal")
        waiting = await ledger.fetch(
            "SELECT attempts, sequence FROM notification WHERE status = 'queued'"
        )
        spent = await ledger.fetch("SELECT sum(attempts)::int AS n FROM notification")
        probes = world.first.received[calls:]
        world.first.answer = lambda _: Reply()
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=10)

    # The first ones may have been under way; a probe follows another in half a second.
    *_, third_last, _, last = (received.at for received in probes)
    assert last - third_last > 0.9
    assert after.delivered is not None
    assert before.delivered is not None
    fetched = after.delivered.consumer_seq - before.delivered.consumer_seq
    assert fetched <= len(probes) + 1
    assert {row["attempts"] for row in waiting} == {0}
    # those that were being claimed at the moment it opened were given back
    assert len([row for row in waiting if row["sequence"] == 2]) > len(waiting) - 10
    assert len(waiting) > 100
    assert spent[0]["n"] <= len(world.first.received)
    assert max([(await row_of(ledger, id_))["attempts"] for id_ in ids]) < 5


async def test_traffic_moves_to_the_second_provider_and_comes_back(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    well = asyncio.Event()
    world.first.answer = lambda _: Reply(202 if well.is_set() else 500)
    ids = await seed_notifications(ledger, bus, 150)
    async with running_dispatcher(world.settings(WITH_BACKUP)) as dispatcher:
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=10)
        assert await used(ledger, ids) == {"backup": 150}
        failing = len(world.first.received)
        assert failing < 60
        assert {(await row_of(ledger, id_))["attempts"] for id_ in ids} <= {1, 2, 3, 4}

        well.set()
        seen = 0.0

        async def returned() -> bool:
            nonlocal seen
            more = await seed_notifications(ledger, bus, 10)
            await until(lambda: have_status(ledger, more, "delivered"))
            share = (await provider(dispatcher)).shares[Channel.SMS]
            assert share >= seen
            seen = share
            return share == 1

        begun = time.monotonic()
        await until(returned, timeout_seconds=10)
        assert time.monotonic() - begun > 0.8  # gradually
        last = await seed_notifications(ledger, bus, 20)
        await until(lambda: have_status(ledger, last, "delivered"))
        assert await used(ledger, last) == {"webhook": 20}
        registry = dispatcher.service.registry
        share = registry.get_sample_value(
            "tocsin_route_share_ratio", {"channel": "sms", "provider": "webhook"}
        )
        await until(lambda: is_(dispatcher, BreakerCondition.CLOSED))
        changes = {
            condition: registry.get_sample_value(
                "tocsin_breaker_changes_total",
                {"provider": "webhook", "condition": condition},
            )
            for condition in BreakerCondition
        }
        assert share == 1
        assert changes[BreakerCondition.OPEN]
        assert changes[BreakerCondition.CLOSED] == 1


async def test_the_trace_says_which_provider_did_what(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    world.first.answer = lambda _: Reply(500)
    ids = await seed_notifications(ledger, bus, 30)
    async with running_dispatcher(world.settings(WITH_BACKUP)):
        await until(lambda: have_status(ledger, ids, "delivered"))

    retried = [id_ for id_ in ids if str(id_) in world.first.keys]
    assert retried
    for id_ in retried:
        first = (await details_of(ledger, id_, "retrying"))[0]
        [last] = await details_of(ledger, id_, "delivered")
        assert (first["provider"], first["outcome"]) == ("webhook", "transient")
        assert last["provider"] == "backup"
        assert (await row_of(ledger, id_))["provider"] == "backup"


async def test_traffic_leaves_a_provider_that_takes_few_and_hangs(
    ledger: Ledger, bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_TIMEOUT_SECONDS", "1")
    gate = world.first.answer = Gate()
    ids = await seed_notifications(ledger, bus, 40)
    # At most eight of its sends can end in two seconds.
    patient = WITH_BACKUP.replace("minimum_sends = 10", "minimum_sends = 20")
    ours = world.settings(patient, dispatcher_concurrency=4)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: is_(dispatcher, BreakerCondition.OPEN), timeout_seconds=10)
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=20)
        gate.opened.set()

    assert await used(ledger, ids) == {"backup": 40}


async def test_dispatchers_share_a_breaker_and_send_one_probe_between_them(
    ledger: Ledger, bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_TIMEOUT_SECONDS", "1")
    world.first.answer = lambda _: Reply(500)
    # so few for each dispatcher that only both together have enough to judge by
    patient = ALONE.replace("minimum_sends = 10", "minimum_sends = 20")
    ours = world.settings(
        patient.replace("window_seconds = 2", "window_seconds = 30"),
        dispatcher_concurrency=4,
        dispatcher_channel_rate=10,
    )
    await seed_notifications(ledger, bus, 100)
    async with running_dispatcher(ours) as one, running_dispatcher(ours, "two") as two:
        for dispatcher in (one, two):
            await until(partial(is_, dispatcher, BreakerCondition.OPEN))
        assert (await provider(one)).revision == (await provider(two)).revision
        await until(lambda: world.first.in_flight == 0)
        calls = len(world.first.received)
        assert 20 <= calls < 36
        begun = time.monotonic()
        await until(lambda: len(world.first.received) >= calls + 2)
        probed = len(world.first.received) - calls
        assert probed <= (time.monotonic() - begun) / 0.5 + 1
        assert len(await attempts_by(ledger)) == 2


async def purge(bus: Bus) -> None:
    await bus.js.purge_stream(BREAKERS.name)


async def make_anew(bus: Bus) -> None:
    await bus.js.delete_stream(BREAKERS.name)
    await topology.ensure(bus.js)


@pytest.mark.parametrize("lose", [purge, make_anew])
async def test_a_breaker_outlives_its_bucket(
    ledger: Ledger, bus: Bus, world: World, lose: Callable[[Bus], Awaitable[None]]
) -> None:
    world.first.answer = lambda _: Reply(500)
    ids = await seed_notifications(ledger, bus, 60)
    ours = world.settings(ALONE)
    async with running_dispatcher(ours) as one, running_dispatcher(ours, "two") as two:
        for dispatcher in (one, two):
            await until(partial(is_, dispatcher, BreakerCondition.OPEN))
        # Revisions are behind those of a bucket that is made again.
        await until(lambda: has_revision(one, 4))
        await lose(bus)
        probed = len(world.first.received)
        await until(lambda: len(world.first.received) >= probed + 4)
        world.first.answer = lambda _: Reply()
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=20)
        for dispatcher in (one, two):
            await until(partial(is_, dispatcher, BreakerCondition.CLOSED), 20)
        value = await read_value(bus, BREAKERS, "webhook")
        for dispatcher in (one, two):
            await until(partial(has_revision, dispatcher, value.revision), 20)
            assert (await provider(dispatcher)).revision == value.revision


async def has_revision(dispatcher: Running, at_least: int) -> bool:
    return (await provider(dispatcher)).revision >= at_least


async def attempts_by(ledger: Ledger) -> set[str]:
    rows = await ledger.fetch(
        "SELECT DISTINCT split_part(details->>'dispatcher', '/', 1) AS name"
        " FROM notification_event WHERE event = 'processing'"
    )
    return {row["name"] for row in rows}


async def test_traffic_leaves_a_slow_provider_without_failing_anything(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    async def slowly(_: Received) -> Reply:
        await asyncio.sleep(0.3)
        return Reply()

    world.first.answer = slowly
    ids = await seed_notifications(ledger, bus, 200)
    async with running_dispatcher(world.settings(WITH_BACKUP)) as dispatcher:
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=10)
        reading = await provider(dispatcher)

    by = await used(ledger, ids)
    assert by["webhook"] + by["backup"] == 200
    assert by["backup"] > 120
    assert reading.breaker is BreakerCondition.CLOSED
    assert reading.latency_p95_seconds > 0.2
    assert {(await row_of(ledger, id_))["attempts"] for id_ in ids} == {1}


async def test_a_provider_s_own_limit_leaves_the_rest_to_the_other(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    limited = WITH_BACKUP.replace(
        "[providers.backup]", "[providers.webhook]\nrate = 20\n[providers.backup]"
    ).replace("weight = 0", "weight = 1")
    ids = await seed_notifications(ledger, bus, 200)
    begun = time.monotonic()
    async with running_dispatcher(world.settings(limited)) as dispatcher:
        await until(lambda: have_status(ledger, ids, "delivered"))
        elapsed = time.monotonic() - begun
        assert (await provider(dispatcher)).rate_limit == 20

    assert 1 <= len(world.first.received) <= 20 * elapsed + 3 + 10
    assert len(world.backup.received) == 200 - len(world.first.received)


async def test_a_provider_that_could_not_be_opened_is_opened_later(
    ledger: Ledger, bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = NoopProvider.open
    failures = iter([OSError("no such library"), OSError("no such file")])

    def failing_twice(settings: Any) -> AbstractAsyncContextManager[NoopProvider]:
        if (failure := next(failures, None)) is not None:
            raise failure
        return opened(settings)

    ours = world.settings(ALONE)
    async with running_dispatcher(ours):
        first = await seed_notifications(ledger, bus, 1)
        await until(lambda: have_status(ledger, first, "delivered"))
        monkeypatch.setattr(NoopProvider, "open", failing_twice)
        world.routes.write_text(ALONE.replace("webhook", "noop"))
        with structlog.testing.capture_logs() as logs:
            await until(
                lambda: "routes.loaded" in {e["event"] for e in logs},
                timeout_seconds=20,
            )
        ids = await seed_notifications(ledger, bus, 5)
        await until(lambda: have_status(ledger, ids, "delivered"))

    assert [e["event"] for e in logs if e["event"] == "loop.failed"] == (
        ["loop.failed"] * 2
    )
    assert await used(ledger, ids) == {"noop": 5}


async def test_routes_are_read_again_and_a_mistake_changes_nothing(
    ledger: Ledger, bus: Bus, world: World
) -> None:
    ours = world.settings(ALONE)
    async with running_dispatcher(ours):
        ids = await seed_notifications(ledger, bus, 5)
        await until(lambda: have_status(ledger, ids, "delivered"))
        with structlog.testing.capture_logs() as logs:
            world.routes.write_text(WITH_BACKUP.replace('webhook"', 'pigeon"'))
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: "routes.refused" in {e["event"] for e in logs})
            [refused] = [e for e in logs if e["event"] == "routes.refused"]
            assert "pigeon" in refused["error"]
            world.routes.write_text(
                WITH_BACKUP.replace('"webhook" }', '"webhook", weight = 0 }').replace(
                    '"backup", weight = 0', '"backup", weight = 1'
                )
            )
            await until(lambda: "routes.loaded" in {e["event"] for e in logs})
        more = await seed_notifications(ledger, bus, 5)
        await until(lambda: have_status(ledger, more, "delivered"))

    assert await used(ledger, ids) == {"webhook": 5}
    assert await used(ledger, more) == {"backup": 5}
