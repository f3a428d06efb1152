"""Killed processes: nothing accepted is lost, and duplicates are explained."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.acceptance.mesh import Mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)

SMS = {"channel": "sms", "recipient": "+15555550001", "content": "hello"}


async def test_a_killed_dispatcher_loses_nothing(mesh: Mesh) -> None:
    """Its leases expire, the bus brings the notifications again, and a restart sends them.

    A provider may see a notification twice only if its attempt was under way at the kill.
    """
    await mesh.behave(mode="accept", latency_ms=100)
    batches = [await mesh.create_batch([SMS] * 1000) for _ in range(2)]

    async def some_were_sent() -> bool:
        return len(await mesh.received()) >= 300

    await until(some_were_sent, 20)
    killed_at = datetime.now(UTC)
    old_pid = mesh.kill("dispatcher-1")
    await mesh.restarted("dispatcher-1", old_pid)

    await mesh.batches_are(batches, "delivered", within=90)
    receipts = Counter(m["idempotency_key"] for m in await mesh.received())
    members = [m["id"] for b in batches for m in (await mesh.batch(b))["notifications"]]
    assert len(members) == 2000
    assert set(members) <= set(receipts)
    twice = [key for key, times in receipts.items() if times > 1]
    for notification_id in twice:
        assert await _was_under_way(mesh, notification_id, killed_at)


async def _was_under_way(mesh: Mesh, notification_id: str, moment: datetime) -> bool:
    """Say whether an attempt had begun before ``moment`` and had no outcome by then."""
    begun = [
        entry["event"]
        for entry in await mesh.trace(notification_id)
        if datetime.fromisoformat(entry["created_at"]) <= moment
    ]
    return bool(begun[-1] == "processing")


async def test_a_killed_gateway_keeps_every_promise(mesh: Mesh) -> None:
    """Every 202 that a client saw is in the ledger and is delivered."""
    accepted: list[str] = []
    stop = asyncio.Event()
    senders = [asyncio.create_task(_send_until(mesh, stop, accepted)) for _ in range(8)]

    async def has_accepted(count: int) -> bool:
        return len(accepted) >= count

    await until(lambda: has_accepted(300), 20)
    old_pid = mesh.kill("gateway-1")
    await mesh.restarted("gateway-1", old_pid)
    seen = len(accepted)
    await until(lambda: has_accepted(seen + 100), 30)
    stop.set()
    await asyncio.gather(*senders)

    async def all_delivered() -> bool:
        states = await asyncio.gather(*(mesh.get(i) for i in accepted[-50:]))
        return all(state["status"] == "delivered" for state in states)

    await until(all_delivered, 60)
    for notification_id in accepted:
        await mesh.status_is(notification_id, "delivered", within=30)


async def _send_until(mesh: Mesh, stop: asyncio.Event, accepted: list[str]) -> None:
    while not stop.is_set():
        try:
            response = await mesh.post(SMS)
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
            continue
        if response.status == 202:
            body: dict[str, Any] = await response.json()
            accepted.append(body["id"])


@pytest.mark.parametrize("server", ["nats", "postgres", "redis"])
async def test_a_killed_server_comes_back_on_its_port(mesh: Mesh, server: str) -> None:
    """A notification sent after the restart of a server is delivered as before."""
    before = mesh.addresses[server]
    old_pid = mesh.kill(server)
    await mesh.restarted(server, old_pid)
    assert mesh.addresses[server] == before

    async def accepts() -> bool:
        return (await mesh.post(SMS)).status == 202

    await until(accepts, 20)
    notification_id = await mesh.create()
    await mesh.status_is(notification_id, "delivered", within=20)
