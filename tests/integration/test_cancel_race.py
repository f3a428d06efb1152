"""Invariant 3 under cancels: once a cancel has answered 200, no provider is called."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest_asyncio

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import (
    Endpoint,
    Received,
    Reply,
    running_endpoint,
)
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dispatcher_settings,
    running_dispatcher,
    statuses,
    trace_of,
)
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.waiting import until

ROUNDS = 3
EACH = 200


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


class Calls:
    """When a provider was last called for each notification; every fifth one is put off."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def __call__(self, received: Received) -> Reply:
        self.last[received.key] = time.monotonic()
        flaky = int(received.key[-1], 16) % 5 == 0
        return Reply(503) if flaky and received.attempt == 1 else Reply()


async def accepted(gateway: RunningGateway) -> list[str]:
    response = await gateway.post({"notifications": [SMS] * EACH}, BATCHES)
    shown = await gateway.get(response.headers["Location"])
    return [member["id"] for member in (await shown.json())["notifications"]]


async def test_once_a_cancel_is_answered_no_provider_is_called(
    settings: MeshSettings, ledger: Ledger, bus: Bus, endpoint: Endpoint
) -> None:
    calls = Calls()
    endpoint.answer = calls
    rng = random.Random(7)
    cancelled: dict[str, float] = {}
    refused: set[str] = set()
    made: list[str] = []

    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(running_gateway(settings)) for _ in range(2)
        ]
        for name in ("one", "two"):
            await stack.enter_async_context(
                running_dispatcher(dispatcher_settings(settings, endpoint.url), name)
            )

        async def cancel(id_: str, gateway: RunningGateway) -> None:
            response = await gateway.http.patch(f"{NOTIFICATIONS}/{id_}/cancel")
            await response.read()
            answered_at = time.monotonic()
            if response.status == 200:
                assert id_ not in cancelled
                cancelled[id_] = answered_at
            else:
                assert response.status == 409
                refused.add(id_)

        for _ in range(ROUNDS):
            ids = await accepted(gateways[0])
            made += ids
            rng.shuffle(ids)
            await asyncio.gather(
                *(cancel(id_, gateways[n % 2]) for n, id_ in enumerate(ids))
            )
        await until(lambda: bus_is_empty(bus), timeout_seconds=60)

    assert cancelled
    assert refused - cancelled.keys()
    late = [id_ for id_, at in cancelled.items() if calls.last.get(id_, 0.0) > at]
    assert late == []
    kept = [UUID(id_) for id_ in made if id_ not in cancelled]
    assert await statuses(ledger, [UUID(id_) for id_ in cancelled]) == {"cancelled"}
    assert await statuses(ledger, kept) == {"delivered"}
    for id_ in list(cancelled)[:50]:
        assert (await trace_of(ledger, UUID(id_)))[-1] == "cancelled"
