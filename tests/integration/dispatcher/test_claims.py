"""Claims whose answer does not come."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import PostgresDsn

from contracts.channels import Channel, Lane, Priority
from contracts.settings import MeshSettings
from dispatcher.answers import Answers
from dispatcher.claims import Claims
from dispatcher.holdings import Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.store import Store
from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from ops.runtime.ledger import AWAY, Ledger, open_ledger
from tests.integration.dispatcher.running import waits_for_a_lock
from tests.integration.factories import seed_notifications
from tests.relay import relay
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.HIGH)
LEASE_SECONDS = 15.0


def claims_over(ledger: Ledger, bus: Bus) -> Claims:
    metrics = Metrics(CollectorRegistry())
    answers = Answers(bus.nc, metrics)
    store = Store(ledger, "one/1f", LEASE_SECONDS)
    absence = Absence(LEASE_SECONDS)
    return Claims(
        store,
        Leases(store, answers, metrics, absence, LEASE_SECONDS),
        answers,
        metrics,
        absence,
        stopping=asyncio.Event(),
    )


async def test_two_messages_of_a_claim_that_was_not_answered_are_one_claim(
    ledger: Ledger, bus: Bus, dsn: str
) -> None:
    """The bus may bring it again, to the other task of its lane, while the first asks."""
    [id_] = await seed_notifications(ledger, None, 1, priority=Priority.HIGH)
    claims = claims_over(ledger, bus)
    beside = await asyncpg.connect(dsn)
    async with beside.transaction():
        await beside.execute("SELECT FROM notification WHERE id = $1 FOR UPDATE", id_)
        asking = [
            asyncio.create_task(claims.claim([Holding(id_, LANE, f"reply.{number}")]))
            for number in range(2)
        ]
        await until(lambda: waits_for_a_lock(ledger))
        # The second has asked by now, if it does; the first waits for the lock all along.
        await asyncio.wait(asking, timeout=0.3)
        # Both connections break under their statements, which the server carries out.
        ledger.is_away = True
        ledger.hang_up()
    await until(lambda: is_processing(beside))
    ledger.is_away = False

    claimed = [holding for group in await asyncio.gather(*asking) for holding in group]

    assert len(claimed) == 1
    await beside.close()


async def test_a_claim_that_is_held_is_not_made_again_though_its_lease_ran_out(
    ledger: Ledger, bus: Bus
) -> None:
    """Nor does a second message of it, which is let go, make that forgotten."""
    [id_] = await seed_notifications(ledger, None, 1, priority=Priority.HIGH)
    claims = claims_over(ledger, bus)
    first, second, third, fourth = (Holding(id_, LANE, f"reply.{n}") for n in range(4))
    assert await claims.claim([first]) == [first]
    await ledger.pool.execute(
        "UPDATE notification SET lease_until = now() - '1s'::interval"
    )

    assert await claims.claim([second]) == []
    await claims.put_back([second])
    assert await claims.claim([third]) == []
    await claims.put_back([third, first])
    assert await claims.claim([fourth]) == [fourth]


async def test_a_statement_is_given_up_though_its_server_says_nothing_any_more(
    ledger: Ledger, settings: MeshSettings
) -> None:
    [id_] = await seed_notifications(ledger, None, 1)
    async with relay(str(settings.postgres_dsn)) as wire:
        over = settings.model_copy(
            update={"postgres_dsn": PostgresDsn(wire.url), "postgres_pool_size": 1}
        )
        async with open_ledger(over) as ours:
            store = Store(ours, "one/1f", LEASE_SECONDS, patience_seconds=0.5)
            await store.look([id_])
            wire.open.clear()
            async with asyncio.timeout(10):
                for _ in range(2):
                    with pytest.raises(TimeoutError):
                        await store.claim([id_])
            wire.open.set()
            await until(lambda: answers_look(store, id_))


async def answers_look(store: Store, id_: UUID) -> bool:
    try:
        return bool(await store.look([id_]))
    except AWAY:
        return False


async def is_processing(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return await connection.fetchval("SELECT status FROM notification") == "processing"
