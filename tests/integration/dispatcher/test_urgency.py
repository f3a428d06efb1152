"""Urgent notifications do not wait for what a dispatcher does for the others."""

import time
from contextlib import AsyncExitStack
from functools import partial

from contracts.channels import Priority
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import running_endpoint
from tests.integration.dispatcher.running import (
    dispatcher_settings,
    have_status,
    running_dispatcher,
    waits_for_a_lock,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until


async def test_an_urgent_claim_does_not_wait_for_a_claim_under_way(
    ledger: Ledger, bus: Bus, settings: MeshSettings
) -> None:
    low = await seed_notifications(ledger, bus, 20, priority=Priority.LOW)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(running_endpoint())
        ours = dispatcher_settings(settings, endpoint.url)
        async with ledger.transaction() as holdup:
            await holdup.execute(
                "SELECT FROM notification WHERE id = $1 FOR UPDATE", low[0]
            )
            await stack.enter_async_context(running_dispatcher(ours))
            await until(lambda: waits_for_a_lock(ledger))
            for _ in range(3):
                high = await seed_notifications(ledger, bus, 2, priority=Priority.HIGH)
                await until(partial(have_status, ledger, high, "delivered"))
            assert await have_status(ledger, low, "queued")
        await until(lambda: have_status(ledger, low, "delivered"))


async def test_the_others_leave_processor_while_urgent_ones_come(
    ledger: Ledger, bus: Bus, settings: MeshSettings
) -> None:
    await seed_notifications(ledger, bus, 1, priority=Priority.HIGH)
    await seed_notifications(ledger, bus, 400, priority=Priority.LOW)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(running_endpoint())
        ours = dispatcher_settings(
            settings,
            endpoint.url,
            dispatcher_concurrency=20,
            dispatcher_cpu_beside_high=0.000_001,
        )
        await stack.enter_async_context(running_dispatcher(ours))
        await until(lambda: len(endpoint.received) >= 1)
        begun = time.monotonic()
        await until(lambda: len(endpoint.received) == 401, timeout_seconds=20)

    # Four in 20 ms begin whatever the processor does; without this all take a moment.
    assert time.monotonic() - begun > 1.2
