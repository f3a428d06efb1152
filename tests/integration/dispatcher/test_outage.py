"""A provider that fails altogether under a deep backlog harms nobody else, and is left in peace."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.channels import Channel
from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import Endpoint, Reply, running_endpoint
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dispatcher_settings,
    have_status,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until

ROUTES = """
[health]
minimum_sends = 20
open_seconds = 0.5
open_at_most_seconds = 0.5
return_seconds = 1
[providers.sound]
kind = "webhook"
[channels.sms]
providers = [{ name = "webhook" }]
[channels.email]
providers = [{ name = "sound" }]
"""
CONCURRENCY = 20
PROBES = 4
#: What may reach a provider before its breaker is open everywhere, whatever waits behind.
CALLS_AT_MOST = 300
_SEEDED_AT_ONCE = 5_000


@pytest_asyncio.fixture
async def failing() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        endpoint.answer = lambda _: Reply(500)
        yield endpoint


@pytest_asyncio.fixture
async def sound() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        os.environ["TOCSIN_SOUND_URL"] = endpoint.url
        os.environ["TOCSIN_SOUND_ALLOW_PRIVATE"] = "true"
        yield endpoint


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "count", [5_000, pytest.param(100_000, marks=pytest.mark.long)]
)
async def test_a_backlog_behind_a_failing_provider_stalls_nobody_and_floods_nobody(
    ledger: Ledger,
    bus: Bus,
    settings: MeshSettings,
    failing: Endpoint,
    sound: Endpoint,
    tmp_path: Path,
    count: int,
) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(ROUTES)
    ours = dispatcher_settings(
        settings,
        failing.url,
        dispatcher_routes=routes,
        dispatcher_concurrency=CONCURRENCY,
    )
    for _ in range(count // _SEEDED_AT_ONCE):
        await seed_notifications(ledger, bus, _SEEDED_AT_ONCE)

    async with running_dispatcher(ours):
        await until(lambda: len(failing.received) >= 20, timeout_seconds=20)
        ids = await seed_notifications(ledger, bus, 200, channel=Channel.EMAIL)
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=30)
        await until(lambda: failing.in_flight == 0)
        calls = len(failing.received)
        await until(lambda: len(failing.received) >= calls + PROBES, timeout_seconds=30)
        info = await bus.js.consumer_info(NOTIFY.name, "sms-normal")
        untouched = await ledger.fetch(
            "SELECT count(*) AS n FROM notification"
            " WHERE channel = 'sms' AND status = 'queued' AND attempts = 0"
        )
        assert len(failing.received) <= CALLS_AT_MOST
        assert untouched[0]["n"] >= count - CALLS_AT_MOST
        # What waits holds no place among the unacknowledged, so that it blocks no lane.
        assert info.num_ack_pending is not None
        assert info.num_ack_pending <= CALLS_AT_MOST

        failing.answer = lambda _: Reply()
        await until(lambda: bus_is_empty(bus), timeout_seconds=600)
        left = await ledger.fetch(
            "SELECT count(*) AS n FROM notification WHERE status <> 'delivered'"
        )

    assert left[0]["n"] == 0
    assert len(sound.received) == 200
