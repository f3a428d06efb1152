"""Postgres frozen and the scheduler killed after it: what was accepted is delivered once."""

import asyncio
from collections import Counter

import pytest

from tests.acceptance.mesh import Mesh, frozen
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)

SMS = {"channel": "sms", "recipient": "+15555550001", "content": "hello"}


async def test_what_is_accepted_while_postgres_hangs_is_delivered_once(
    mesh: Mesh,
) -> None:
    async with frozen(mesh.child("postgres")):
        answers = await asyncio.gather(*(mesh.post(SMS) for _ in range(100)))
        assert {response.status for response in answers} == {202}
        singles = [(await response.json())["id"] for response in answers]
        keyed = await asyncio.gather(
            *(mesh.post(SMS, **{"Idempotency-Key": f"k{n}"}) for n in range(50))
        )
        assert {response.status for response in keyed} == {202}
        again = await asyncio.gather(
            *(mesh.post(SMS, **{"Idempotency-Key": f"k{n}"}) for n in range(50))
        )
        assert {response.status for response in again} == {200}
        batch = await mesh.create_batch([SMS] * 100)
        assert (await mesh.get(singles[-1]))["status"] == "queued"
    mesh.kill("scheduler-1")

    ids = [*singles, *[(await response.json())["id"] for response in keyed]]
    for id_ in ids:
        await mesh.status_is(id_, "delivered", within=60)
    await mesh.batches_are([batch], "delivered", within=60)
    assert [(await r.json())["id"] for r in again] == ids[100:]
    members = [member["id"] for member in (await mesh.batch(batch))["notifications"]]

    async def received() -> bool:
        return len(await mesh.received()) >= len(ids) + len(members)

    await until(received, 10)
    receipts = Counter(m["idempotency_key"] for m in await mesh.received())
    assert receipts == Counter([*ids, *members])
