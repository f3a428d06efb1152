"""What providers tell after they have accepted a notification: it is shown and traced once."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.receipts import Receipt
from contracts.settings import MeshSettings
from dispatcher.store import Result, Store as DispatcherStore
from gateway.receipts.store import RECEIPTS_AT_MOST, SQL
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.following import Mesh
from tests.integration.gateway.gateways import NOBODYS, RunningGateway, running_gateway
from tests.integration.gateway.receipts.sending import (
    NOW,
    SETTINGS,
    body_of,
    events,
    send,
    shown,
    taken,
    traced,
)


async def test_a_receipt_is_shown_and_traced_and_changes_no_status(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
    before = await shown(gateway, id_)
    body = body_of(id_, "bounced", code="550 5.1.1", message_id="m-1")

    assert await taken(gateway, body) == "bounced"

    after = await shown(gateway, id_)
    receipt = after.pop("receipt")
    assert after == before
    assert msgspec.convert(receipt, Receipt).at == NOW
    assert (
        receipt.items()
        >= {
            "kind": "bounced",
            "provider": "acme",
            "code": "550 5.1.1",
            "message_id": "m-1",
        }.items()
    )
    *_, (event, details) = await traced(gateway, id_)
    assert event == "bounced"
    assert {"kind": event, **details} == receipt
    counted = gateway.metric("tocsin_receipts_total", form="webhook", outcome="bounced")
    assert counted == 1


async def test_the_same_receipt_is_one_line_however_often_and_wherever_it_comes(
    gateway: RunningGateway, settings: MeshSettings, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
    other = settings.model_copy(update={"instance": "other"})
    async with running_gateway(other, **SETTINGS) as second:
        outcomes = await asyncio.gather(
            *(taken(each, body_of(id_), "msg_1") for each in [gateway, second] * 10)
        )

    assert sorted(outcomes) == ["confirmed"] + ["repeated"] * 19
    assert (await events(gateway, id_)).count("confirmed") == 1


async def test_an_attempt_under_way_ends_as_if_no_receipt_had_come(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    """The receipt of a fast provider may be here before the outcome is."""
    id_ = UUID((await gateway.create())["id"])
    dispatcher = DispatcherStore(ledger, "one", 30.0)
    [claim] = await dispatcher.claim([id_])

    assert await taken(gateway, body_of(str(id_))) == "confirmed"
    settled = await dispatcher.settle(
        [
            Result(
                id=id_,
                fence=claim.fence,
                status=Status.DELIVERED,
                details="{}",
                provider="acme",
                provider_message_id="m-1",
            )
        ]
    )

    assert list(settled) == [(id_, claim.fence)]
    view = await shown(gateway, str(id_))
    assert (view["status"], view["receipt"]["kind"]) == ("delivered", "confirmed")
    assert await events(gateway, str(id_)) == [
        "created",
        "queued",
        "processing",
        "confirmed",
        "delivered",
    ]


@pytest.mark.parametrize("bounce_first", [True, False])
async def test_the_newest_by_the_provider_s_clock_is_shown_and_all_are_traced(
    gateway: RunningGateway, bounce_first: bool
) -> None:
    id_ = (await gateway.create())["id"]
    bodies = [body_of(id_, "bounced", 9), body_of(id_, "confirmed", 3)]
    for body in bodies if bounce_first else reversed(bodies):
        await taken(gateway, body)

    assert (await shown(gateway, id_))["receipt"]["kind"] == "bounced"
    assert sorted((await events(gateway, id_))[2:]) == ["bounced", "confirmed"]


async def test_a_receipt_of_what_was_erased_keeps_no_id_that_may_name_the_recipient(
    gateway: RunningGateway,
) -> None:
    id_ = (await gateway.create())["id"]
    await gateway.ledger.fetch("UPDATE notification SET redacted_at = now()")

    await taken(gateway, body_of(id_, message_id="for-15555550001", code="17"))

    assert (await shown(gateway, id_))["receipt"]["code"] == "17"
    assert "15555550001" not in str(await traced(gateway, id_))
    assert "15555550001" not in str((await shown(gateway, id_))["receipt"])


async def test_more_receipts_than_any_provider_sends_are_ignored(
    gateway: RunningGateway,
) -> None:
    id_ = (await gateway.create())["id"]
    first = str(new_id())
    for number in range(RECEIPTS_AT_MOST):
        await taken(gateway, body_of(id_, seconds=number), "" if number else first)

    assert await taken(gateway, body_of(id_, "bounced", 99)) == "ignored"
    assert await taken(gateway, body_of(id_), first) == "repeated"
    assert (await events(gateway, id_)).count("confirmed") == RECEIPTS_AT_MOST


async def test_a_receipt_of_nobody_is_taken_and_counted(
    gateway: RunningGateway,
) -> None:
    """A provider would only repeat what is refused."""
    assert await taken(gateway, body_of(NOBODYS)) == "unknown"
    assert await taken(gateway, b'{"type":"user.created"}') == "ignored"
    for outcome in ("unknown", "ignored"):
        counted = gateway.metric(
            "tocsin_receipts_total", form="webhook", outcome=outcome
        )
        assert counted == 1


async def test_without_the_ledger_a_receipt_is_to_be_sent_again(
    settings: MeshSettings, bus: Bus
) -> None:
    broken = MeshSettings.model_validate(
        settings.model_dump(mode="json")
        | {"postgres_dsn": "postgresql://nobody@127.0.0.1:9/nothing"}
    )
    async with running_gateway(broken, **SETTINGS) as gateway:
        response = await send(gateway, body_of(NOBODYS))

    assert response.status == 503
    assert "Retry-After" in response.headers


async def test_a_notification_is_found_by_an_index_of_one_partition(
    ledger: Ledger,
) -> None:
    receipt = "{}"
    async with ledger.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {SQL.record}",
            *(new_id(), new_id(), NOW, receipt, "confirmed", RECEIPTS_AT_MOST),
        )
    plan = "\n".join(row[0] for row in rows)

    assert "Seq Scan" not in plan
    scans = [
        line
        for line in plan.splitlines()
        if "Index Scan" in line and "never executed" not in line
    ]
    assert len(scans) == 2  # once to update it, once to say why it was not
