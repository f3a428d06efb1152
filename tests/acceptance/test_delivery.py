"""The main road: one request becomes one delivered notification."""

import asyncio
import os
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.acceptance.mesh import Mesh

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_notification_is_delivered_once_within_a_second(
    shared_mesh: Mesh,
) -> None:
    response = await shared_mesh.post(
        {"channel": "sms", "recipient": "+15555550001", "content": "hello"}
    )

    assert response.status == 202
    accepted = await response.json()
    assert response.headers["Location"] == f"/api/v1/notifications/{accepted['id']}"
    assert (accepted["status"], accepted["attempts"]) == ("queued", 0)
    await shared_mesh.status_is(accepted["id"], "delivered", within=1.0)
    received = await shared_mesh.received(idempotency_key=accepted["id"])
    assert [message["content"] for message in received] == ["hello"]


async def test_the_trace_tells_the_whole_way(shared_mesh: Mesh) -> None:
    notification_id = await shared_mesh.create(
        channel="email", recipient="a@example.com"
    )
    await shared_mesh.status_is(notification_id, "delivered", within=2.0)

    entries = await shared_mesh.trace(notification_id)

    assert [entry["event"] for entry in entries] == [
        "created",
        "queued",
        "processing",
        "delivered",
    ]
    times = [entry["created_at"] for entry in entries]
    assert times == sorted(times)


async def test_every_channel_and_priority_is_delivered(shared_mesh: Mesh) -> None:
    recipients = {"sms": "+15555550001", "email": "a@example.com", "push": "device-1"}

    batch_id = await shared_mesh.create_batch(
        [
            {
                "channel": channel,
                "recipient": recipient,
                "content": "hello",
                "priority": priority,
            }
            for channel, recipient in recipients.items()
            for priority in ("high", "normal", "low")
        ]
    )

    await shared_mesh.batches_are([batch_id], "delivered", within=5.0)


async def test_a_refused_recipient_ends_failed_with_a_reason(shared_mesh: Mesh) -> None:
    notification_id = await shared_mesh.create(recipient="+15005550001")

    await shared_mesh.status_is(notification_id, "failed", within=2.0)

    notification = await shared_mesh.get(notification_id)
    assert notification["failure_class"] == "permanent"
    assert notification["failure_reason"]
    assert notification["attempts"] == 1


async def test_a_transient_failure_is_retried(shared_mesh: Mesh) -> None:
    notification_id = await shared_mesh.create(recipient="+15005550002")

    await shared_mesh.status_is(notification_id, "delivered", within=10.0)

    events = [entry["event"] for entry in await shared_mesh.trace(notification_id)]
    assert events == [
        "created",
        "queued",
        "processing",
        "retrying",
        "processing",
        "delivered",
    ]


async def test_a_scheduled_notification_waits_for_its_time(shared_mesh: Mesh) -> None:
    due = datetime.now(UTC) + timedelta(seconds=2)
    notification_id = await shared_mesh.create(scheduled_at=due.isoformat())
    assert (await shared_mesh.get(notification_id))["status"] == "pending"

    await shared_mesh.status_is(notification_id, "delivered", within=5.0)

    received = await shared_mesh.received(idempotency_key=notification_id)
    assert datetime.fromisoformat(received[0]["received_at"]) >= due


async def test_the_same_key_is_answered_with_the_same_bytes(shared_mesh: Mesh) -> None:
    key = str(uuid.uuid4())
    body = {"channel": "sms", "recipient": "+15555550001", "content": "once"}

    first = await shared_mesh.post(body, **{"Idempotency-Key": key})
    second = await shared_mesh.post(body, **{"Idempotency-Key": key})

    assert (first.status, second.status) == (202, 200)
    assert await first.read() == await second.read()
    assert second.headers["Idempotent-Replay"] == "true"


async def test_who_follows_sees_the_whole_way(shared_mesh: Mesh) -> None:
    later = datetime.now(UTC) + timedelta(seconds=1)
    notification_id = await shared_mesh.create(
        recipient="+15005550002", scheduled_at=later.isoformat()
    )
    gateway = shared_mesh.addresses["gateway"]
    frames: list[dict[str, Any]] = []
    async with (
        aiohttp.ClientSession(gateway) as http,
        http.ws_connect("/api/v1/ws/notifications") as socket,
    ):
        await socket.send_json(
            {"action": "subscribe", "notification_id": notification_id}
        )
        while not frames or frames[-1]["status"] != "delivered":
            frames.append(await socket.receive_json(timeout=20))

    assert [frame["status"] for frame in frames] == [
        "pending",
        "queued",
        "processing",
        "retrying",
        "processing",
        "delivered",
    ]
    assert [frame["sequence"] for frame in frames] == [2, 3, 4, 5, 6, 7]
    assert [frame["attempts"] for frame in frames] == [0, 0, 1, 1, 2, 2]


async def test_the_provider_tells_later_what_became_of_it(shared_mesh: Mesh) -> None:
    notification_id = await shared_mesh.create()
    await shared_mesh.status_is(notification_id, "delivered", within=5.0)
    gateway, sandbox = (shared_mesh.addresses[name] for name in ("gateway", "sandbox"))
    order = {"idempotency_key": notification_id, "kind": "bounced", "code": "30003"}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{gateway}/api/v1/ws/notifications") as socket,
    ):
        await socket.send_json(
            {"action": "subscribe", "notification_id": notification_id}
        )
        before = await socket.receive_json(timeout=20)
        sent = await (await http.post(f"{sandbox}/receipts", json=order)).json()
        repeated = order | {"id": sent["id"]}
        again = await (await http.post(f"{sandbox}/receipts", json=repeated)).json()
        frame = await socket.receive_json(timeout=20)

    assert (sent["status"], sent["answer"]) == (200, {"outcome": "bounced"})
    assert again["answer"] == {"outcome": "repeated"}
    assert frame == before | {"receipt": frame["receipt"]}
    notification = await shared_mesh.get(notification_id)
    assert notification["status"] == "delivered"
    assert notification["receipt"] == frame["receipt"]
    assert notification["receipt"]["code"] == "30003"
    events = [entry["event"] for entry in await shared_mesh.trace(notification_id)]
    assert events == ["created", "queued", "processing", "delivered", "bounced"]
    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", "trace", notification_id),
        env={**os.environ, "TOCSIN_GATEWAY_URL": gateway},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await shown.communicate()
    assert "then BOUNCED" in out.decode().splitlines()[0]
