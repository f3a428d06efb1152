"""Drills whose fault is somebody's mistake, at this end or at the other."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.oversight import recipient_hash
from ops import client
from tests.acceptance.drills.drill import PATIENCE_SECONDS, drilling
from tests.acceptance.mesh import Mesh

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

Record = Callable[[str, object], None]

FLOOD = 30
OTHERS = 5
REPLAYED_PER_SECOND = 10
ACCEPTED = 202

SMS = {"channel": "sms", "recipient": "+15555550001", "content": "hello"}
EMAIL = {"channel": "email", "recipient": "who@example.com"}


async def test_a_flood_of_dead_letters_is_replayed_by_what_it_died_of_at_a_capped_rate(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=7, fault="DLQ flooded with one class"
    ) as drill:
        await drill.shown("none new")
        await shared.behave(mode="permanent")
        others = [await shared.create(**EMAIL) for _ in range(OTHERS)]
        flooded = await shared.create_batch([SMS] * FLOOD)
        effect_at = await drill.witness.change(lambda it: it.status is Status.FAILED)
        by = "Lanes: dead letters `in 5 min`"
        await drill.seen("in 5 min", effect_at=effect_at, by=by)
        await drill.shown(f"+{FLOOD + OTHERS} in 5 min")
        await shared.behave(mode="accept")

        await drill.press("2")
        await drill.shown("sms / permanent", str(FLOOD))
        await drill.shown("email / permanent", str(OTHERS))
        await drill.press("R")
        await drill.shown(f"{FLOOD} are queued again")
        await drill.answer(
            str(REPLAYED_PER_SECOND), "mended at the provider", str(FLOOD)
        )
        await shared.batches_are([flooded], "delivered", within=PATIENCE_SECONDS)
        await drill.gone("sms / permanent")
        await drill.shown("email / permanent", str(OTHERS))

        for id_ in others:
            assert (await shared.get(id_))["status"] == "failed"
        sent = await shared.received(channel="sms")
        accepted = [it for it in sent if it["answer"] == ACCEPTED]
        assert len(accepted) == FLOOD
        assert most_in_a_second(accepted) <= REPLAYED_PER_SECOND * 2


async def test_what_is_stuck_is_found_by_recipient_or_key_and_called_back(
    shared: Mesh, record_property: Record
) -> None:
    recipient, key = "+15555550177", "order-8841"
    async with (
        drilling(
            shared, record_property, number=11, fault="one notification stuck"
        ) as drill,
        elsewhere(shared) as bob,
    ):
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        far = await shared.create(
            recipient=recipient, scheduled_at=tomorrow.isoformat()
        )
        await bob.pause(Channel.SMS, Priority.LOW, reason="a try")
        held = await create_with_key(shared, key, priority="low")

        await drill.press("g")
        await drill.write(recipient_hash(recipient))
        asked_at = time.time()
        await drill.press("enter")
        by = "Trace: found by the recipient's hash, `waiting for its time`"
        await drill.seen("waiting for its time", effect_at=asked_at, by=by)
        await drill.shown(far)
        await drill.press("X")
        await drill.shown("Call the notification back")
        await drill.press("y")
        await shared.status_is(far, "cancelled", within=PATIENCE_SECONDS)
        await drill.shown("CANCELLED")

        await drill.press("g")
        await drill.write(key)
        asked_at = time.time()
        await drill.press("enter")
        await drill.seen("sms.low paused by bob", effect_at=asked_at, by=by)
        await drill.shown(held)
        await drill.press("X")
        await drill.shown("Call the notification back")
        await drill.press("y")
        await shared.status_is(held, "cancelled", within=PATIENCE_SECONDS)

        await bob.resume(Channel.SMS, Priority.LOW, reason="tried")
        after = await shared.create(priority="low")
        await shared.status_is(after, "delivered", within=PATIENCE_SECONDS)
        sent = [message["to"] for message in await shared.received()]
        assert recipient not in sent


async def test_a_wrong_limit_is_seen_with_who_set_it_and_undone(
    shared: Mesh, record_property: Record
) -> None:
    async with (
        drilling(
            shared, record_property, number=12, fault="a wrong limit set"
        ) as drill,
        elsewhere(shared) as bob,
    ):
        await bob.limit_channel(Channel.SMS, 1.0, reason="meant ten")
        effect_at = time.time()
        by = "Lanes: `sms limit 1/s`, by whom and why"
        await drill.seen("sms limit 1/s by bob", effect_at=effect_at, by=by)
        batch = await shared.create_batch([SMS] * 60)
        await drill.shown("sms", "at limit")

        await drill.press("U")
        await drill.shown("goes back to the settings", "bob")
        await drill.answer("it was a slip", "sms")
        await drill.gone("sms limit 1/s")
        await shared.batches_are([batch], "delivered", within=PATIENCE_SECONDS)


@asynccontextmanager
async def elsewhere(mesh: Mesh) -> AsyncIterator[client.Operator]:
    """Lend the hands of somebody at another desk."""
    async with client.open_gateway(mesh.addresses["gateway"], None) as gateway:
        yield client.Operator(gateway, "bob")


async def create_with_key(mesh: Mesh, key: str, **fields: Any) -> str:
    response = await mesh.post({**SMS, **fields}, **{"Idempotency-Key": key})
    assert response.status == 202, await response.text()
    return str((await response.json())["id"])


def most_in_a_second(messages: list[dict[str, Any]]) -> int:
    """Return how many were received within one second, at most."""
    times = sorted(datetime.fromisoformat(it["received_at"]) for it in messages)
    second = timedelta(seconds=1)
    return max(sum(at <= other < at + second for other in times) for at in times)
