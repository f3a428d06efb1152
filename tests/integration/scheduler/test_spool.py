"""What is in the spool is moved into the ledger, whatever goes away meanwhile."""

import asyncio
import time

import pytest

from contracts import spool, subjects
from contracts.topology import SPOOL, SPOOL_DRAIN
from ops.runtime.bus import Bus
from ops.runtime.ledger import AWAY, Ledger, open_ledger
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.spool import SpoolDrain
from scheduler.spool_store import SpoolStore
from tests.integration.conftest import mesh_settings
from tests.integration.scheduler.seeds import count, stored, submission
from tests.integration.scheduler.test_process import started
from tests.relay import relay
from tests.servers import Stack
from tests.waiting import until

SUBMISSIONS = 12_000


async def keep(bus: Bus, number: int) -> None:
    for _ in range(0, number, 500):
        await asyncio.gather(
            *(
                bus.js.publish(subjects.spooled(one.id), spool.encode(one))
                for one in [submission() for _ in range(500)]
            )
        )


async def test_what_the_ledger_could_not_take_is_offered_again_soon(
    servers: Stack,
    dsn: str,
    bus: Bus,
    ledger: Ledger,
    publisher: Publisher,
    metrics: Metrics,
) -> None:
    """Long before the bus would, which waits for an acknowledgement (30 s)."""
    one = submission()
    await bus.js.publish(subjects.spooled(one.id), spool.encode(one))
    async with relay(dsn) as wire:
        settings = mesh_settings(wire.url, servers.nats_url, servers.redis_url)
        async with open_ledger(settings) as distant:
            drain = SpoolDrain(bus, SpoolStore(distant), publisher, metrics)
            wire.cut()
            started = time.monotonic()
            with pytest.raises(AWAY):
                await drain.step()
            await wire.mend()
            await until(lambda: is_moved(drain, bus), 25)

    assert time.monotonic() - started < SPOOL_DRAIN.ack_wait_seconds - 5
    assert await count(ledger, "notification") == 1


async def is_moved(drain: SpoolDrain, bus: Bus) -> bool:
    await drain.step()
    return await is_empty(bus)


async def test_what_a_killed_scheduler_was_moving_is_moved_once(
    environment: dict[str, str], bus: Bus, ledger: Ledger
) -> None:
    await keep(bus, SUBMISSIONS)
    async with started(environment) as killed:
        await until(lambda: some_are_moved(ledger), 20)
        killed.process.kill()
        await killed.process.wait()
    moved = await count(ledger, "notification")
    async with started(environment):
        await until(lambda: is_empty(bus), 60)

    assert moved < SUBMISSIONS, "it was killed in the middle"
    assert await count(ledger, "notification") == SUBMISSIONS
    assert await count(ledger, "notification_event") == 2 * SUBMISSIONS


async def some_are_moved(ledger: Ledger) -> bool:
    return await count(ledger, "notification") > 0


async def is_empty(bus: Bus) -> bool:
    return await stored(bus, SPOOL.name) == 0
