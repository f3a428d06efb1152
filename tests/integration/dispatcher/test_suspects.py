"""What lost its dispatcher is sent few at a time, and given up when it has lost five."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import LOST_LEASES_AT_MOST
from contracts.settings import MeshSettings
from dispatcher import suspects
from dispatcher.settings import DispatcherSettings
from dispatcher.store import Store
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import (
    Endpoint,
    Gate,
    Reply,
)
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dead_letters,
    dispatcher_settings,
    have_status,
    row_of,
    running_dispatcher,
    trace_of,
)
from tests.integration.factories import publish_queued, seed_notifications
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)
ROOM = suspects.room([])


@pytest.fixture
def ours(settings: MeshSettings, endpoint: Endpoint) -> DispatcherSettings:
    return dispatcher_settings(settings, endpoint.url)


async def abandon(ledger: Ledger, ids: Sequence[UUID], lost: int) -> None:
    """Leave notifications as a dispatcher that ended now, after so many others had."""
    await ledger.fetch(
        "UPDATE notification SET status = 'processing', sequence = 3, attempts = 1,"
        " lease_owner = 'gone', lease_until = now() - interval '1 second',"
        " lost_leases = $2 WHERE id = ANY($1)",
        ids,
        lost,
    )


@pytest.mark.parametrize(("lost", "together"), [(0, 64), (1, 8), (2, 1), (3, 1)])
async def test_as_many_are_claimed_as_there_is_room_for(
    ledger: Ledger, lost: int, together: int
) -> None:
    ids = await seed_notifications(ledger, None, 80)
    await abandon(ledger, ids, lost)
    store = Store(ledger, "one", 15)

    claims = await store.claim_suspects(ids, suspects.WEIGHTS, ROOM)

    assert [claim.lost_leases for claim in claims] == [lost + 1] * together
    assert await store.claim(ids) == [], "not by the ordinary claim"


async def test_the_least_suspicious_go_first(ledger: Ledger) -> None:
    ids = await seed_notifications(ledger, None, 6)
    await abandon(ledger, ids[:3], 3)
    await abandon(ledger, ids[3:], 0)

    claims = await Store(ledger, "one", 15).claim_suspects(ids, suspects.WEIGHTS, ROOM)

    assert {claim.id for claim in claims} == set(ids[3:])


async def test_what_lost_its_dispatcher_is_sent_in_small_company_while_all_else_flows(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    suspicious = await seed_notifications(ledger, None, 40)
    await abandon(ledger, suspicious, 1)
    others = await seed_notifications(ledger, None, 50)
    gate = Gate()
    held = set(map(str, suspicious))
    endpoint.answer = lambda r: gate(r) if r.key in held else Reply()
    await publish_queued(bus, LANE, suspicious)
    await publish_queued(bus, LANE, others)

    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, others, "delivered"), 20)
        await until(lambda: endpoint.in_flight == 8, 20)
        gate.opened.set()
        await until(lambda: have_status(ledger, suspicious, "delivered"), 60)
        await until(lambda: bus_is_empty(bus), 20)

    assert max(endpoint.seen.values()) == 1


async def test_the_fifth_lost_dispatcher_is_the_last(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    [id_] = await seed_notifications(ledger, None, 1, max_attempts=10)
    await abandon(ledger, [id_], LOST_LEASES_AT_MOST - 1)
    await publish_queued(bus, LANE, [id_])

    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"), 20)
        await until(lambda: bus_is_empty(bus), 20)

    assert endpoint.received == []
    row = await row_of(ledger, id_)
    assert (row["failure_class"], row["lost_leases"]) == ("poison", 5)
    [letter] = await dead_letters(ledger)
    assert "dispatcher ended" in letter["reason"]


async def test_neither_throttling_nor_a_shutdown_counts_as_a_lost_dispatcher(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    throttled = Reply(429, "{}", {"Retry-After": "1"})
    endpoint.answer = lambda received: throttled if received.attempt == 1 else Reply()
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "retrying"), 20)
        await until(lambda: have_status(ledger, [id_], "delivered"), 30)
    endpoint.answer = Gate()
    cut_off = await seed_notifications(ledger, bus, 3)
    hasty = ours.model_copy(update={"drain_seconds": 0.5})
    async with running_dispatcher(hasty):
        await until(lambda: endpoint.in_flight == 3, 20)
    endpoint.answer = lambda _: Reply()
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, cut_off, "delivered"), 30)

    rows = [await row_of(ledger, one) for one in [id_, *cut_off]]
    assert [row["lost_leases"] for row in rows] == [0] * 4
    assert "queued" in (await trace_of(ledger, cut_off[0]))[2:]
