"""Cancelling: from where, what it leaves, and what it answers."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from contracts import messages, subjects
from contracts.lifecycle import CANCELLABLE, FINAL, Status
from contracts.messages import StatusChanged
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    NOBODYS,
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
    spelled,
)
from tests.rows import insert, notification


async def cancel(
    gateway: RunningGateway, id_: object, **headers: str
) -> aiohttp.ClientResponse:
    response = await gateway.http.patch(
        f"{NOTIFICATIONS}/{id_}/cancel", headers=spelled(headers)
    )
    await response.read()
    return response


async def seed(ledger: Ledger, status: Status, **columns: Any) -> UUID:
    queued_at = None if status in FINAL else datetime.now(UTC)
    row = notification(status=status, queued_at=queued_at, **columns)
    await insert(ledger.pool, **row)
    id_: UUID = row["id"]
    return id_


async def row_of(ledger: Ledger, id_: UUID) -> dict[str, Any]:
    [row] = await ledger.fetch("SELECT * FROM notification WHERE id = $1", id_)
    return dict(row)


@pytest.mark.parametrize("status", sorted(CANCELLABLE))
async def test_what_waits_can_be_cancelled(
    gateway: RunningGateway, ledger: Ledger, status: Status
) -> None:
    id_ = await seed(
        ledger,
        status,
        correlation_id="order-7",
        sequence=4,
        next_retry_at=datetime.now(UTC),
    )
    response = await cancel(gateway, id_, X_Correlation_ID="mine")

    assert response.status == 200
    assert response.headers["X-Correlation-ID"] == "order-7"
    body = await response.json()
    assert (body["id"], body["status"]) == (str(id_), "cancelled")
    assert body["cancelled_at"] == body["updated_at"]
    assert "next_retry_at" not in body
    assert body == await (await gateway.get(f"{NOTIFICATIONS}/{id_}")).json()
    row = await row_of(ledger, id_)
    assert (row["sequence"], row["queued_at"], row["due_at"]) == (5, None, None)
    [event] = await ledger.fetch(
        "SELECT event, sequence FROM notification_event WHERE notification_id = $1", id_
    )
    assert tuple(event) == ("cancelled", 5)


@pytest.mark.parametrize("status", sorted(set(Status) - CANCELLABLE))
async def test_what_is_under_way_or_over_cannot_be_cancelled(
    gateway: RunningGateway, ledger: Ledger, status: Status
) -> None:
    id_ = await seed(ledger, status)
    before = await row_of(ledger, id_)
    response = await cancel(gateway, id_)

    assert response.status == 409
    problem = await problem_of(response)
    assert problem["type"] == "/probs/invalid-transition"
    assert f" {status} " in problem["detail"]
    assert problem["detail"].endswith(" cancelled")
    assert await row_of(ledger, id_) == before


async def test_what_waits_for_its_time_can_be_cancelled(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    created = await gateway.create(scheduled_at=later.isoformat())
    assert created["status"] == "pending"

    assert (await cancel(gateway, created["id"])).status == 200
    trace = await gateway.get(f"{NOTIFICATIONS}/{created['id']}/trace")
    entries = (await trace.json())["entries"]
    assert [e["event"] for e in entries] == ["created", "pending", "cancelled"]


@pytest.mark.parametrize(
    ("id_", "status", "slug"),
    [(NOBODYS, 404, "not-found"), ("7", 400, "bad-request")],
)
async def test_what_does_not_exist_cannot_be_cancelled(
    gateway: RunningGateway, id_: str, status: int, slug: str
) -> None:
    response = await cancel(gateway, id_)

    assert response.status == status
    assert (await problem_of(response))["type"] == f"/probs/{slug}"


async def test_a_cancel_is_announced_once(
    gateway: RunningGateway, bus: Bus, ledger: Ledger
) -> None:
    id_ = await seed(ledger, Status.RETRYING, attempts=2, provider="webhook")
    heard = await bus.nc.subscribe(subjects.STATUS_ALL)
    await bus.nc.flush()
    await cancel(gateway, id_, Idempotency_Key="k")
    await cancel(gateway, id_, Idempotency_Key="k")
    await cancel(gateway, id_)
    message = await heard.next_msg(timeout=5)
    event = messages.decode(message.data)

    assert message.subject == f"status.default.sms.cancelled.{id_}"
    assert isinstance(event, StatusChanged)
    assert (event.status, event.sequence, event.attempts) == (Status.CANCELLED, 3, 2)
    await gateway.create()
    following = messages.decode((await heard.next_msg(timeout=5)).data)
    assert isinstance(following, StatusChanged)
    assert following.status == Status.QUEUED


async def test_a_key_is_answered_again_with_the_same_bytes(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    id_ = await seed(ledger, Status.QUEUED, correlation_id="order-7")
    first = await cancel(gateway, id_, Idempotency_Key="k")
    again = await cancel(gateway, id_, Idempotency_Key="k")
    other = await cancel(gateway, id_, Idempotency_Key="l")

    assert [r.status for r in (first, again, other)] == [200, 200, 409]
    assert await again.read() == await first.read()
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.headers["X-Correlation-ID"] == "order-7"


async def test_a_key_with_another_body_is_a_mismatch(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    id_ = await seed(ledger, Status.QUEUED)
    await cancel(gateway, id_, Idempotency_Key="k")
    response = await gateway.http.patch(
        f"{NOTIFICATIONS}/{id_}/cancel", headers={"Idempotency-Key": "k"}, data=b"{}"
    )

    assert response.status == 409
    assert (await problem_of(response))["type"] == "/probs/idempotency-key-mismatch"


async def test_a_refused_cancel_leaves_its_key_free(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    id_ = await seed(ledger, Status.PROCESSING)
    assert (await cancel(gateway, id_, Idempotency_Key="k")).status == 409
    await ledger.fetch("UPDATE notification SET status = 'queued' WHERE id = $1", id_)

    assert (await cancel(gateway, id_, Idempotency_Key="k")).status == 200


async def test_of_many_cancels_at_once_one_wins(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    id_ = await seed(ledger, Status.QUEUED)
    answers = await asyncio.gather(*(cancel(gateway, id_) for _ in range(20)))

    assert sorted(r.status for r in answers) == [200] + [409] * 19
    keyed = await seed(ledger, Status.QUEUED)
    answers = await asyncio.gather(
        *(cancel(gateway, keyed, Idempotency_Key="k") for _ in range(20))
    )
    statuses = {r.status for r in answers}
    fresh = [
        r
        for r in answers
        if r.status == 200 and len(r.headers.getall("Idempotent-Replay", [])) == 0
    ]
    assert statuses <= {200, 409}
    assert len(fresh) == 1
    assert (
        await ledger.pool.fetchval(
            "SELECT count(*) FROM notification_event WHERE notification_id = $1", keyed
        )
        == 1
    )
