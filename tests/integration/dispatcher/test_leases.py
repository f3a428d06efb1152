"""One lease, one sender: who may send, who may settle, and what a lost lease leads to."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import structlog
from msgspec import structs
from pydantic import PostgresDsn

from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.settings import MeshSettings
from contracts.topology import lane_consumer
from dispatcher import suspects
from dispatcher.holdings import Claim
from dispatcher.settings import DispatcherSettings
from dispatcher.store import Result, Store
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import (
    Endpoint,
    Gate,
    Reply,
)
from tests.integration.dispatcher.running import (
    bus_is_empty,
    details_of,
    dispatcher_process,
    dispatcher_settings,
    have_status,
    messages_on_bus,
    row_of,
    running_dispatcher,
    trace_of,
)
from tests.integration.factories import publish_queued, seed_notifications
from tests.relay import relay
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)


@pytest_asyncio.fixture
async def ours(settings: MeshSettings, endpoint: Endpoint) -> DispatcherSettings:
    """A dispatcher whose leases last a second."""
    return dispatcher_settings(settings, endpoint.url, dispatcher_lease_seconds=1)


def delivered(id_: UUID, fence: int, **overrides: Any) -> Result:
    return Result(
        id=id_,
        fence=fence,
        status=Status.DELIVERED,
        details='{"attempt": 1, "outcome": "delivered", "duration_ms": 7}',
        **overrides,
    )


async def end_leases(ledger: Ledger, ids: Sequence[UUID]) -> None:
    await ledger.fetch(
        "UPDATE notification SET lease_until = now() - interval '1 second'"
        " WHERE id = ANY($1)",
        ids,
    )


async def take_over(ledger: Ledger, owner: str, id_: UUID) -> Claim:
    """Claim a notification whose lease has ended, as another dispatcher does."""
    [claim] = await Store(ledger, owner, 15).claim_suspects([id_], suspects.WEIGHTS, 64)
    return claim


async def test_several_dispatchers_never_send_one_notification_twice(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    # Leases that end in the middle, on a busy machine, allow a second send.
    # One that holds few at once leaves some for the others.
    ours = ours.model_copy(
        update={"dispatcher_lease_seconds": 5.0, "dispatcher_concurrency": 30}
    )
    ids = await seed_notifications(ledger, bus, 600)
    # each notification has two messages, which reach different dispatchers
    await publish_queued(bus, LANE, ids, sequence=99)
    async with AsyncExitStack() as stack:
        for name in ("one", "two", "three"):
            await stack.enter_async_context(running_dispatcher(ours, name))
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=20)
        # a lease that was lost on a busy machine leaves its message to the bus's wait
        await until(lambda: bus_is_empty(bus), timeout_seconds=20)

    assert sorted(endpoint.keys) == sorted(map(str, ids))
    owners = await ledger.fetch(
        "SELECT DISTINCT split_part(details->>'dispatcher', '/', 1) AS name"
        " FROM notification_event WHERE event = 'processing'"
    )
    assert {row["name"] for row in owners} == {"one", "two", "three"}


async def test_a_claim_leaves_a_live_lease_alone(ledger: Ledger) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    [claim] = await Store(ledger, "first", 15).claim([id_])

    assert (claim.fence, claim.attempts) == (3, 1)
    second = Store(ledger, "second", 15)
    assert await second.claim([id_]) == []
    assert await second.claim_suspects([id_], suspects.WEIGHTS, 64) == []
    assert (await row_of(ledger, id_))["lease_owner"] == "first"


async def test_a_claim_takes_over_a_lease_that_has_ended(ledger: Ledger) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    await Store(ledger, "first", 15).claim([id_])
    await end_leases(ledger, [id_])
    claim = await take_over(ledger, "second", id_)

    assert (claim.fence, claim.attempts, claim.lost_leases) == (4, 2, 1)


async def test_an_outcome_without_the_fence_of_its_claim_changes_nothing(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    first, second = Store(ledger, "first", 15), Store(ledger, "second", 15)
    [lost] = await first.claim([id_])
    await end_leases(ledger, [id_])
    held = await take_over(ledger, "second", id_)

    assert await first.settle([delivered(id_, lost.fence)]) == {}
    assert await first.record_late([delivered(id_, lost.fence)]) == {}
    row = await row_of(ledger, id_)
    assert (row["status"], row["sequence"], row["lease_owner"]) == (
        *("processing", held.fence, "second"),
    )
    assert (await trace_of(ledger, id_))[-1] == "late_outcome"
    assert await second.settle([delivered(id_, held.fence)])


async def test_an_outcome_whose_commit_was_never_answered_is_not_late(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    store = Store(ledger, "first", 15)
    [claim] = await store.claim([id_])
    result = delivered(id_, claim.fence)
    written = await store.settle([result])

    assert await store.settle([result]) == {}
    again = await store.record_late([result])
    assert again.keys() == written.keys() == {(id_, claim.fence)}
    assert again[id_, claim.fence].sequence == claim.fence + 1
    assert (await trace_of(ledger, id_))[-1] == "delivered"


async def test_a_late_outcome_is_one_line_though_nobody_answered_that_it_was_written(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    first, second = Store(ledger, "first", 15), Store(ledger, "second", 15)
    [lost] = await first.claim([id_])
    await end_leases(ledger, [id_])
    [again] = await second.claim_suspects([id_], suspects.WEIGHTS, 64)
    await end_leases(ledger, [id_])
    await take_over(ledger, "third", id_)
    other = structs.replace(delivered(id_, again.fence), details='{"attempt": 2}')

    for _ in range(2):
        assert await first.record_late([delivered(id_, lost.fence)]) == {}
        assert await second.record_late([other]) == {}

    assert (await trace_of(ledger, id_)).count("late_outcome") == 2


async def test_a_claim_that_was_never_answered_is_found_by_its_owner_only(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    [claim] = await Store(ledger, "first/1f", 15).claim([id_])

    assert await Store(ledger, "first/2e", 15).adopt([id_]) == []
    [adopted] = await Store(ledger, "first/1f", 15).adopt([id_])
    assert (adopted.fence, adopted.attempts) == (claim.fence, claim.attempts)


async def test_a_claim_that_was_not_answered_for_longer_than_its_lease_costs_no_attempt(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    owner = Store(ledger, "first/1f", 15)
    [claim] = await owner.claim([id_])
    await end_leases(ledger, [id_])

    [adopted] = await owner.adopt([id_])

    assert (adopted.fence, adopted.attempts) == (claim.fence, 1)
    assert await Store(ledger, "second", 15).claim([id_]) == []


async def test_a_claim_that_was_never_answered_is_not_kept_beyond_its_expiry(
    ledger: Ledger,
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    owner = Store(ledger, "first/1f", 15)
    await owner.claim([id_])
    await ledger.fetch("UPDATE notification SET expires_at = now() WHERE id = $1", id_)

    assert await owner.adopt([id_]) == []


async def test_a_long_send_keeps_its_lease(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours), running_dispatcher(ours, "two"):
        await until(lambda: endpoint.received)
        first_lease = (await row_of(ledger, id_))["lease_until"]
        await publish_queued(bus, LANE, [id_], sequence=99)
        await until(lambda: datetime.now(UTC) > first_lease)
        assert (await row_of(ledger, id_))["lease_until"] > datetime.now(UTC)
        gate.opened.set()
        await until(lambda: have_status(ledger, [id_], "delivered"))
        await until(lambda: bus_is_empty(bus))

    assert endpoint.keys == [str(id_)]
    assert (await row_of(ledger, id_))["attempts"] == 1


@pytest.mark.parametrize("ledger_hangs", [False, True])
async def test_a_long_send_is_not_brought_again_even_while_the_ledger_hangs(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    ledger_hangs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_TIMEOUT_SECONDS", "60")
    gate = endpoint.answer = Gate()
    consumer = lane_consumer(LANE)
    info = await bus.js.consumer_info(consumer.stream, consumer.name)
    brief = info.config.evolve(ack_wait=2.0)
    await bus.js.add_consumer(consumer.stream, brief)
    [id_] = await seed_notifications(ledger, bus, 1)
    async with relay(str(ours.postgres_dsn)) as wire:
        over = ours.model_copy(update={"postgres_dsn": PostgresDsn(wire.url)})
        async with running_dispatcher(over):
            await until(lambda: endpoint.received)
            if ledger_hangs:
                wire.open.clear()
            await asyncio.sleep(8)  # several times what the bus waits
            info = await bus.js.consumer_info(consumer.stream, consumer.name)
            wire.open.set()
            gate.opened.set()
            await until(lambda: have_status(ledger, [id_], "delivered"), 30)

    assert (info.num_redelivered, info.num_ack_pending) == (0, 1)
    assert endpoint.keys == [str(id_)]


@pytest.mark.parametrize("max_attempts", [1, 5])
async def test_what_is_held_here_is_not_claimed_again_though_its_lease_has_ended(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    max_attempts: int,
) -> None:
    """A ledger that was away for longer than a lease leaves such a row behind."""
    gate = endpoint.answer = Gate()
    [id_] = await seed_notifications(ledger, bus, 1, max_attempts=max_attempts)
    put_back = "tocsin_unclaimed_total", {"channel": "sms", "reason": "leased"}
    async with running_dispatcher(ours) as running:
        await until(lambda: endpoint.received)
        await end_leases(ledger, [id_])
        await publish_queued(bus, LANE, [id_], sequence=99)
        await until(lambda: running.service.registry.get_sample_value(*put_back))
        gate.opened.set()
        await until(lambda: have_status(ledger, [id_], "delivered"))

    assert endpoint.keys == [str(id_)]
    assert (await row_of(ledger, id_))["attempts"] == 1


@pytest.mark.parametrize("max_attempts", [1, 5])
@pytest.mark.parametrize("owner_lives", [True, False])
async def test_a_lease_that_ended_while_the_ledger_was_away_is_left_to_its_owner_at_first(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    max_attempts: int,
    owner_lives: bool,
) -> None:
    """Who comes first after an outage knows nothing of what the owner could not write."""
    [id_] = await seed_notifications(ledger, bus, 1, max_attempts=max_attempts)
    owner = Store(ledger, "owner", 15)
    [claim] = await owner.claim([id_])
    await end_leases(ledger, [id_])
    put_back = "tocsin_unclaimed_total", {"channel": "sms", "reason": "leased"}
    async with relay(str(ours.postgres_dsn)) as wire:
        wire.open.clear()
        away = ours.model_copy(
            update={
                "postgres_dsn": PostgresDsn(wire.url),
                "dispatcher_lease_seconds": 3.0,
            }
        )
        async with running_dispatcher(away) as running:
            await until(lambda: is_in_hand(bus))
            await asyncio.sleep(1.5)  # an absence is what lasts a third of a lease
            wire.open.set()
            await until(lambda: running.service.registry.get_sample_value(*put_back))
            if owner_lives:
                await owner.settle([delivered(id_, claim.fence)])
            await until(lambda: bus_is_empty(bus), 30)

    row = await row_of(ledger, id_)
    if owner_lives:
        assert (row["status"], row["attempts"], endpoint.keys) == ("delivered", 1, [])
    elif max_attempts == 1:
        assert (row["status"], row["failure_class"]) == ("failed", "poison")
    else:
        assert (row["status"], row["attempts"]) == ("delivered", 2)
        assert endpoint.keys == [str(id_)]


@pytest.mark.parametrize("is_sending", [True, False])
async def test_who_could_not_renew_or_settle_knows_of_the_outage_too(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    is_sending: bool,
) -> None:
    [id_, held] = await seed_notifications(ledger, None, 2)
    owner = Store(ledger, "owner", 15)
    [claim] = await owner.claim([id_])
    gate = endpoint.answer = Gate()
    put_back = "tocsin_unclaimed_total", {"channel": "sms", "reason": "leased"}
    async with relay(str(ours.postgres_dsn)) as wire:
        away = ours.model_copy(
            update={
                "postgres_dsn": PostgresDsn(wire.url),
                "dispatcher_lease_seconds": 3.0,
            }
        )
        async with running_dispatcher(away) as running:
            await publish_queued(bus, LANE, [held])
            await until(lambda: endpoint.received)
            if not is_sending:
                gate.opened.set()
            with structlog.testing.capture_logs() as logs:
                wire.cut()
                told = "loop.interrupted" if is_sending else "settle.interrupted"
                await until(lambda: told in {entry["event"] for entry in logs})
                await wire.mend()
            await end_leases(ledger, [id_])
            await publish_queued(bus, LANE, [id_])
            await until(lambda: running.service.registry.get_sample_value(*put_back))
            await owner.settle([delivered(id_, claim.fence)])
            gate.opened.set()
            await until(lambda: bus_is_empty(bus), 30)

    assert endpoint.keys == [str(held)]


async def is_in_hand(bus: Bus) -> bool:
    consumer = lane_consumer(LANE)
    info = await bus.js.consumer_info(consumer.stream, consumer.name)
    return info.num_ack_pending == 1


async def test_a_late_outcome_overwrites_nothing_and_acknowledges_nothing(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    gate = endpoint.answer = Gate()
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: endpoint.received)
        await end_leases(ledger, [id_])
        thief = await take_over(ledger, "thief", id_)
        gate.opened.set()
        await until(lambda: has_event(ledger, id_, "late_outcome"))

    row = await row_of(ledger, id_)
    assert (row["status"], row["sequence"], row["lease_owner"]) == (
        *("processing", thief.fence, "thief"),
    )
    assert row["delivered_at"] is None
    assert await messages_on_bus(bus) == 1
    [details] = await details_of(ledger, id_, "late_outcome")
    assert (details["attempt"], details["outcome"]) == (1, "delivered")


async def has_event(ledger: Ledger, id_: UUID, event: str) -> bool:
    return event in await trace_of(ledger, id_)


async def test_what_a_killed_dispatcher_held_is_sent_by_another(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    environment: dict[str, str],
) -> None:
    endpoint.answer = Gate()
    ids = await seed_notifications(ledger, bus, 5)
    brief = {"TOCSIN_DISPATCHER_LEASE_SECONDS": "1"}
    with dispatcher_process(environment, endpoint.url, **brief) as process:
        await until(lambda: len(endpoint.received) == 5, timeout_seconds=20)
        process.kill()
        process.wait()
    endpoint.answer = lambda _: Reply()
    # the bus would bring them after its own wait of fifteen seconds
    await publish_queued(bus, LANE, ids, sequence=99)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, ids, "delivered"), 20)

    assert sorted(endpoint.keys) == sorted(2 * [*map(str, ids)])
    assert await trace_of(ledger, ids[0]) == [
        *("created", "queued", "processing", "processing", "delivered")
    ]
    assert (await row_of(ledger, ids[0]))["attempts"] == 2


async def test_what_keeps_ending_its_dispatcher_fails_as_poison(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    [id_] = await seed_notifications(ledger, None, 1, max_attempts=1)
    await Store(ledger, "dead", 15).claim([id_])
    await end_leases(ledger, [id_])
    await publish_queued(bus, LANE, [id_])
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))
        await until(lambda: bus_is_empty(bus))

    assert endpoint.received == []
    row = await row_of(ledger, id_)
    assert (row["failure_class"], row["attempts"]) == ("poison", 1)
    assert len(await ledger.fetch("SELECT FROM dead_letter")) == 1
