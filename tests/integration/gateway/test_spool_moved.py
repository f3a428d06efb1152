"""What becomes of what was accepted without the ledger: each is stored once."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from contracts import spool
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.spool_store import SpoolStore
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.integration.gateway.spooling import (
    SPOOL,
    Drain,
    away,
    ids_of,
    is_away,
    statuses,
)
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import ids_on_bus, stored
from tests.servers import Stack
from tests.waiting import until


async def test_one_key_is_one_notification_whichever_gateway_is_asked(
    settings: MeshSettings,
    servers: Stack,
    bus: Bus,
    ledger: Ledger,
    drain: Drain,
) -> None:
    """Without Redis: the spool by itself keeps keys apart, and the ledger after it."""
    ours = MeshSettings.model_validate(
        settings.model_dump(mode="json") | {"redis_url": "redis://127.0.0.1:9/0"}
    )
    async with (
        running_gateway(ours) as one,
        running_gateway(ours.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n}" for n in range(20)]
        async with away(servers, one, other):
            responses = await asyncio.gather(
                *(
                    gateway.post_under(key)
                    for key in keys
                    for gateway in (one, other, one)
                )
            )
            changed = await one.post(SMS | {"content": "x"}, Idempotency_Key=keys[0])
            assert changed.status == 409
        assert Counter(r.status for r in responses) == {202: 20, 200: 40}
        assert len({await r.text() for r in responses}) == 20
        assert await stored(bus, SPOOL) == 20

        again = await asyncio.gather(*(other.post_under(key) for key in keys))
        assert {r.status for r in again} == {200}, "known before they are moved"
        await drain.until_empty()
        more = await asyncio.gather(*(one.post_under(key) for key in keys))
        assert {r.status for r in more} == {200}, "and after"
        assert {await r.text() for r in (*again, *more)} == {
            await r.text() for r in responses
        }
    assert set((await statuses(ledger)).values()) == {"queued"}
    assert len(await statuses(ledger)) == 20


@pytest.mark.parametrize(
    ("body", "why"),
    [(SMS, "duplicate"), (SMS | {"content": "x"}, "idempotency_key_mismatch")],
    ids=["same", "other"],
)
@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES])
async def test_what_a_key_of_the_ledger_was_used_for_again_is_cancelled_as_it_is_moved(
    gateway: RunningGateway,
    servers: Stack,
    ledger: Ledger,
    bus: Bus,
    drain: Drain,
    path: str,
    body: Any,
    why: str,
) -> None:
    """With Redis flushed, nobody can know of the key while the ledger is away."""

    def sent(item: Any) -> Any:
        return item if path == NOTIFICATIONS else {"notifications": [item, item]}

    first = await gateway.post(sent(SMS), path, Idempotency_Key="k")
    await gateway.service.redis.flushdb()
    async with away(servers, gateway):
        second = await gateway.post(sent(body), path, Idempotency_Key="k")
        assert (first.status, second.status) == (202, 202)
    [first_id] = await ids_of([first])
    was = await statuses(ledger)
    await drain.until_empty()

    cancelled = {
        id_: status
        for id_, status in (await statuses(ledger)).items()
        if id_ not in was
    }
    assert set(cancelled.values()) == {"cancelled"}
    assert len(cancelled) == len(was)
    assert drain.moved("cancelled") == len(cancelled)
    for id_ in cancelled:
        seen = await (await gateway.get(f"{NOTIFICATIONS}/{id_}/trace")).json()
        events = [entry["event"] for entry in seen["entries"]]
        assert events == ["created", "queued", "cancelled"]
        assert seen["entries"][-1]["details"] == {"why": why, "duplicate_of": first_id}
    assert {str(id_) for id_ in await ids_on_bus(bus)} == set(was)
    assert (await gateway.get(second.headers["Location"])).status == 200


async def test_moving_again_changes_nothing(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    async with away(servers, gateway):
        await gateway.post(Idempotency_Key="k")
        await gateway.post({"notifications": [SMS] * 2}, BATCHES)
        entries = [
            spool.decode(message.data)
            for message in [
                await bus.js.get_msg(SPOOL, seq=sequence) for sequence in (1, 2)
            ]
            if message.data
        ]
    store = SpoolStore(ledger)
    await drain.until_empty()
    rows = await ledger.fetch("SELECT * FROM notification ORDER BY id")
    moved = await store.move(entries)

    assert (moved.stored, moved.known, moved.group.ids) == (0, 3, [])
    assert await ledger.fetch("SELECT * FROM notification ORDER BY id") == rows
    assert await gateway.count("notification_event") == 6
    assert await gateway.count("batch") == 1
    assert await gateway.count("outbox_group") == 0


async def test_two_schedulers_at_once_store_each_notification_once(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    async with away(servers, gateway):
        posts = [gateway.post(Idempotency_Key=f"{n}") for n in range(100)]
        responses = await asyncio.gather(*posts)
        entries = [
            spool.decode((await bus.js.get_msg(SPOOL, seq=n)).data or b"")
            for n in range(1, 101)
        ]
    store = SpoolStore(ledger)
    moved = await asyncio.gather(
        store.move(entries), store.move(entries), drain.until_empty()
    )

    assert set(await statuses(ledger)) == set(await ids_of(responses))
    assert sum(one.stored for one in moved[:2]) + drain.moved("stored") == 100
    assert await gateway.count("notification_event") == 200


async def test_a_submission_the_ledger_refuses_stays_and_keeps_nobody_waiting(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    await ledger.fetch(
        "ALTER TABLE notification ADD CONSTRAINT no_six CHECK (content <> 'six')"
    )
    async with away(servers, gateway):
        responses = [
            await gateway.post(SMS | {"content": content})
            for content in ("five", "six", "seven")
        ]
    five, six, seven = await ids_of(responses)
    async with running(drain.job.step):
        await until(lambda: only_left(bus, 1), 10)

    assert set(await statuses(ledger)) == {five, seven}
    assert (await gateway.get(f"{NOTIFICATIONS}/{six}")).status == 200


async def only_left(bus: Bus, submissions: int) -> bool:
    return await stored(bus, SPOOL) == submissions


async def test_a_commit_that_comes_about_after_all_is_the_same_notification(
    settings: MeshSettings,
    servers: Stack,
    bus: Bus,
    ledger: Ledger,
    dsn: str,
    drain: Drain,
) -> None:
    """The ledger is slow, not away: the statement that was given up commits in the end."""
    async with running_gateway(settings, gateway_commit_seconds=0.5) as gateway:
        async with blocked_ledger(dsn) as blocked:
            posting = asyncio.gather(
                gateway.post(),
                gateway.post(Idempotency_Key="k"),
                gateway.post({"notifications": [SMS] * 2}, BATCHES),
            )
            await blocked.somebody_waits()
            responses = await posting
            assert [r.status for r in responses] == [202] * 3
            assert await statuses(ledger) == {}
        await drain.until_empty()
        await until(lambda: nobody_is_busy(ledger), 10)
        await until(lambda: not is_away(gateway), 10)

        assert len(await statuses(ledger)) == 4
        assert set((await statuses(ledger)).values()) == {"queued"}
        assert await gateway.count("notification_event") == 8
        for response in responses:
            assert (await gateway.get(response.headers["Location"])).status == 200


async def nobody_is_busy(ledger: Ledger) -> bool:
    [row] = await ledger.fetch(
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active'"
    )
    return bool(row["n"] == 1)
