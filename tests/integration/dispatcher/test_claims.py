"""Claims whose answer does not come."""

import asyncio

import asyncpg
from prometheus_client import CollectorRegistry

from contracts.channels import Channel, Lane, Priority
from dispatcher.absence import Absence
from dispatcher.answers import Answers
from dispatcher.claims import Claims
from dispatcher.holdings import Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.store import Store
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.running import waits_for_a_lock
from tests.integration.factories import seed_notifications
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.HIGH)
LEASE_SECONDS = 15.0


def claims_over(ledger: Ledger, bus: Bus) -> Claims:
    metrics = Metrics(CollectorRegistry())
    answers = Answers(bus.nc, metrics)
    store = Store(ledger, "one/1f", LEASE_SECONDS)
    return Claims(
        store,
        Leases(store, answers, metrics, LEASE_SECONDS),
        answers,
        metrics,
        Absence(LEASE_SECONDS),
        lease_seconds=LEASE_SECONDS,
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


async def is_processing(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return await connection.fetchval("SELECT status FROM notification") == "processing"
