import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from nats.js.errors import NotFoundError

from contracts import messages, subjects
from contracts.channels import Channel, Lane, Priority
from contracts.ids import time_of
from contracts.lifecycle import Status
from contracts.messages import NotificationQueued, StatusChanged
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.waiting import until


async def row_of(ledger: Ledger, id_: str) -> dict[str, Any]:
    [row] = await ledger.fetch("SELECT * FROM notification WHERE id = $1", UUID(id_))
    return dict(row)


async def outbox(ledger: Ledger) -> list[UUID]:
    rows = await ledger.fetch("SELECT unnest(notification_ids) AS id FROM outbox_group")
    return [row["id"] for row in rows]


async def trace_of(gateway: RunningGateway, id_: str) -> list[str]:
    response = await gateway.get(f"{NOTIFICATIONS}/{id_}/trace")
    return [entry["event"] for entry in (await response.json())["entries"]]


async def test_an_accepted_notification_is_answered_as_promised(
    either_gateway: RunningGateway,
) -> None:
    response = await either_gateway.post(SMS, X_Correlation_ID="order-7")

    assert response.status == 202
    body = await response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Location"] == f"{NOTIFICATIONS}/{body['id']}"
    assert response.headers["X-Correlation-ID"] == "order-7"
    assert UUID(body["id"]).version == 7
    assert body == SMS | {
        "id": body["id"],
        "status": "queued",
        "priority": "normal",
        "attempts": 0,
        "max_attempts": 5,
        "created_at": body["created_at"],
        "updated_at": body["created_at"],
        "correlation_id": "order-7",
    }
    assert body["created_at"].endswith("Z")
    assert datetime.fromisoformat(body["created_at"]) == time_of(UUID(body["id"]))


async def test_what_was_answered_is_what_is_shown_later(
    either_gateway: RunningGateway,
) -> None:
    asked = {
        "channel": " EMAIL ",
        "recipient": "someone@example.com",
        "content": "Grüße ✓",
        "subject": "About nothing",
        "priority": "high",
        "max_attempts": 3,
        "metadata": {"order": {"id": 7, "tags": ["a", "b"], "ratio": 1.5}},
        "scheduled_at": "2199-01-01T01:00:00+01:00",
        "expires_at": "2199-01-02T00:00:00Z",
        "unknown": "ignored",
    }
    response = await either_gateway.post(asked, Idempotency_Key="key-1")
    created = await response.json()
    shown = await either_gateway.get(response.headers["Location"])

    assert shown.status == 200
    assert await shown.json() == created
    assert shown.headers["X-Correlation-ID"] == created["correlation_id"]
    assert created["channel"] == "email"
    assert created["status"] == "pending"
    assert created["scheduled_at"] == "2199-01-01T00:00:00Z"
    assert created["expires_at"] == "2199-01-02T00:00:00Z"
    assert created["metadata"] == asked["metadata"]
    assert created["idempotency_key"] == "key-1"
    assert created["max_attempts"] == 3


async def test_the_ledger_holds_the_row_its_trace_and_its_outbox_group_at_once(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    created = await gateway.create(subject="s", metadata={})
    row = await row_of(ledger, created["id"])

    assert row["tenant"] == "default"
    assert row["status"] == Status.QUEUED
    assert row["sequence"] == 2
    assert row["queued_at"] is not None
    assert row["due_at"] is None
    assert row["created_at"] == time_of(row["id"])
    events = await ledger.fetch(
        "SELECT sequence, event FROM notification_event WHERE notification_id = $1"
        " ORDER BY id",
        row["id"],
    )
    assert [tuple(event) for event in events] == [(1, "created"), (2, "queued")]
    assert await trace_of(gateway, created["id"]) == ["created", "queued"]


async def test_a_notification_reaches_the_bus_and_leaves_the_outbox(
    gateway: RunningGateway, bus: Bus, ledger: Ledger
) -> None:
    response = await gateway.post(
        SMS | {"priority": "high"},
        X_Correlation_ID="order-7",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    id_ = (await response.json())["id"]
    lane = Lane(Channel.SMS, Priority.HIGH)
    message = await until(lambda: last_message(bus, subjects.notify(lane)))

    assert messages.decode(message.data) == NotificationQueued(
        notification_id=UUID(id_)
    )
    headers = message.headers
    assert headers[messages.MESSAGE_ID_HEADER] == messages.queueing_id(UUID(id_), 2)
    assert headers[messages.CORRELATION_HEADER] == "order-7"
    version, trace_id, span_id, flags = headers[messages.TRACEPARENT_HEADER].split("-")
    assert (version, trace_id, flags) == (
        "00",
        "0af7651916cd43dd8448eb211c80319c",
        "01",
    )
    assert span_id != "b7ad6b7169203331"
    row = await row_of(ledger, id_)
    assert row["traceparent"] == headers[messages.TRACEPARENT_HEADER]
    await until(lambda: is_empty(ledger))


async def last_message(bus: Bus, subject: str) -> Any:
    try:
        return await bus.js.get_last_msg("NOTIFY", subject)
    except NotFoundError:
        return None


async def is_empty(ledger: Ledger) -> bool:
    return await outbox(ledger) == []


async def test_the_first_status_is_announced(gateway: RunningGateway, bus: Bus) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    await bus.nc.subscribe(subjects.STATUS_ALL, cb=heard.put)
    await bus.nc.flush()
    queued = await gateway.create(priority="low")
    pending = await gateway.create(scheduled_at="2199-01-01T00:00:00Z")

    for created, status in ((queued, Status.QUEUED), (pending, Status.PENDING)):
        message = await asyncio.wait_for(heard.get(), 5)
        event = messages.decode(message.data)
        assert isinstance(event, StatusChanged)
        assert str(event.notification_id) == created["id"]
        assert event.status == status
        assert event.sequence == 2
        assert event.correlation_id == created["correlation_id"]
        assert message.subject == f"status.default.sms.{status}.{created['id']}"


async def test_a_notification_for_later_waits_in_the_ledger_alone(
    gateway: RunningGateway, bus: Bus, ledger: Ledger
) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    created = await gateway.create(scheduled_at=due.isoformat())

    row = await row_of(ledger, created["id"])
    assert created["status"] == "pending"
    assert row["due_at"] == due
    assert row["queued_at"] is None
    assert await trace_of(gateway, created["id"]) == ["created", "pending"]
    assert await outbox(ledger) == []
    await gateway.create()
    await until(lambda: last_message(bus, "notify.sms.normal"))
    assert (await bus.js.stream_info("NOTIFY")).state.messages == 1


async def test_a_time_that_has_passed_means_now(gateway: RunningGateway) -> None:
    created = await gateway.create(scheduled_at="1999-01-01T00:00:00Z")

    assert created["status"] == "queued"


async def test_a_batch_is_accepted_whole_and_shown_with_its_members(
    either_gateway: RunningGateway,
) -> None:
    members = [SMS | {"content": f"number {n}"} for n in range(20)]
    members[7]["scheduled_at"] = "2199-01-01T00:00:00Z"
    response = await either_gateway.post(
        {"notifications": members}, BATCHES, X_Correlation_ID="sale"
    )

    assert response.status == 202
    batch = await response.json()
    assert batch == {
        "id": batch["id"],
        "size": 20,
        "correlation_id": "sale",
        "created_at": batch["created_at"],
    }
    assert response.headers["Location"] == f"{BATCHES}/{batch['id']}"
    shown = await either_gateway.get(response.headers["Location"])
    assert shown.status == 200
    assert shown.headers["X-Correlation-ID"] == "sale"
    body = await shown.json()
    assert {name: body[name] for name in batch} == batch
    assert body["counts"] == dict.fromkeys(Status, 0) | {"queued": 19, "pending": 1}
    contents = [member["content"] for member in body["notifications"]]
    assert contents == [f"number {n}" for n in range(20)]
    for member in body["notifications"]:
        assert member["batch_id"] == batch["id"]
        assert member["correlation_id"] == "sale"


async def test_batches_made_at_once_keep_their_own_members(
    gateway: RunningGateway,
) -> None:
    async def create(name: str) -> str:
        body = {"notifications": [SMS | {"content": name}] * 50}
        response = await gateway.post(body, BATCHES)
        return str(response.headers["Location"])

    names = [f"batch {n}" for n in range(10)]
    locations = await asyncio.gather(*map(create, names))
    for name, location in zip(names, locations, strict=True):
        body = await (await gateway.get(location)).json()
        assert [n["content"] for n in body["notifications"]] == [name] * 50


async def test_a_full_batch_is_on_the_bus_completely(
    gateway: RunningGateway, bus: Bus, ledger: Ledger
) -> None:
    response = await gateway.post({"notifications": [SMS] * 1000}, BATCHES)
    assert response.status == 202

    await until(lambda: is_empty(ledger), 10)
    assert (await bus.js.stream_info("NOTIFY")).state.messages == 1000


async def test_a_correlation_id_is_made_when_none_is_sent(
    gateway: RunningGateway,
) -> None:
    response = await gateway.post()

    made = response.headers["X-Correlation-ID"]
    assert made
    assert (await response.json())["correlation_id"] == made


@pytest.mark.parametrize("traceparent", ["", "00-zz", "ff-" + "1" * 32])
async def test_a_trace_context_that_is_wrong_is_left_out(
    gateway: RunningGateway, ledger: Ledger, traceparent: str
) -> None:
    response = await gateway.post(SMS, traceparent=traceparent)

    assert response.status == 202
    row = await row_of(ledger, (await response.json())["id"])
    assert row["traceparent"] is None


async def test_metadata_comes_back_as_it_was(gateway: RunningGateway) -> None:
    metadata = {"text": 'ü\\u0000 \\ " /', "n": [1, -2.5, 10**20, None, True], "": {}}
    created = await gateway.create(metadata=metadata)

    response = await gateway.get(f"{NOTIFICATIONS}/{created['id']}")
    assert json.loads(await response.text())["metadata"] == metadata


async def test_a_key_is_kept_as_long_as_it_is_set_to(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with running_gateway(settings, gateway_idempotency_hours=2) as gateway:
        await gateway.post(Idempotency_Key="k")
    [row] = await ledger.fetch(
        "SELECT expires_at - created_at AS kept FROM idempotency_key"
    )
    assert abs(row["kept"].total_seconds() - 7200) < 60
