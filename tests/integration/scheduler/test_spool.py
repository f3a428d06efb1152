"""A scheduler that is killed while it moves the spool leaves the rest to the next."""

import asyncio
from datetime import UTC, datetime

from contracts import spool, subjects
from contracts.channels import Channel, Priority
from contracts.ids import new_id
from contracts.spool import SpooledNotification, SpooledSubmission
from contracts.topology import SPOOL
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.scheduler.seeds import count, stored
from tests.integration.scheduler.test_process import started
from tests.waiting import until

SUBMISSIONS = 12_000


def submission() -> SpooledSubmission:
    id_ = new_id()
    return SpooledSubmission(
        id=id_,
        tenant="default",
        correlation_id="test",
        at=datetime.now(UTC),
        notifications=[
            SpooledNotification(
                id=id_,
                channel=Channel.SMS,
                priority=Priority.NORMAL,
                max_attempts=5,
                recipient="+15555550001",
                content="hello",
            )
        ],
    )


async def keep(bus: Bus, number: int) -> None:
    for _ in range(0, number, 500):
        await asyncio.gather(
            *(
                bus.js.publish(subjects.spooled(one.id), spool.encode(one))
                for one in [submission() for _ in range(500)]
            )
        )


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
