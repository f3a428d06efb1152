"""Who follows a notification, at the gateway or on the bus, is told of its receipts."""

from contracts.lifecycle import Status
from contracts.messages import ReceiptArrived, StatusChanged, decode
from ops.runtime.bus import Bus
from tests.integration.gateway.following import Mesh, following, streaming
from tests.integration.gateway.gateways import (
    NOBODYS,
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
)
from tests.integration.gateway.receipts.sending import body_of, taken
from tests.waiting import until


async def test_who_follows_is_told_with_the_status_as_it_is(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    async with following(gateway) as client, following(gateway) as later:
        await client.follow(id_)
        await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
        assert await client.statuses(2) == ["processing", "delivered"]

        await taken(gateway, body_of(id_, "bounced", 5))
        await taken(gateway, body_of(id_, "confirmed", 1))  # older: not the one to show

        frame = await client.frame()
        assert (frame["status"], frame["sequence"]) == ("delivered", 4)
        assert frame["receipt"]["kind"] == "bounced"
        assert await client.is_quiet()
        assert await later.follow(id_) == frame


async def test_a_receipt_that_is_ahead_of_the_outcome_is_told_too(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    async with following(gateway) as client:
        await client.follow(id_)
        await mesh.move(id_, Status.PROCESSING)
        await client.frame()
        change = await mesh.commit(id_, Status.DELIVERED)
        await taken(gateway, body_of(id_))

        frame = await client.frame()
        await mesh.tell(change)

        assert (frame["status"], frame["receipt"]["kind"]) == ("delivered", "confirmed")
        assert await client.is_quiet()


async def test_a_filter_for_a_status_brings_no_receipts(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    async with following(gateway) as of_status, following(gateway) as of_channel:
        await of_status.subscribe(status="delivered")
        await of_channel.subscribe(status="delivered")
        await of_channel.subscribe(channel="sms")
        assert await of_status.is_quiet()
        assert await of_channel.is_quiet()
        await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
        await taken(gateway, body_of(id_))

        assert await of_channel.statuses(3) == ["processing", "delivered", "delivered"]
        assert await of_status.statuses(1) == ["delivered"]
        assert await of_status.is_quiet()


async def test_an_event_stream_ends_when_it_is_delivered_or_waits_for_the_receipt(
    gateway: RunningGateway, mesh: Mesh
) -> None:
    id_ = (await gateway.create())["id"]
    path = f"{NOTIFICATIONS}/{id_}/events"
    async with (
        streaming(gateway, path) as plain,
        streaming(gateway, f"{path}?receipts=true") as patient,
    ):
        await plain.event()
        await patient.event()
        await mesh.move(id_, Status.PROCESSING, Status.DELIVERED)
        assert [event["status"] for _, event in await plain.rest()] == [
            "processing",
            "delivered",
        ]
        await patient.event()
        await patient.event()
        await taken(gateway, body_of(id_))
        [(last_id, last)] = await patient.rest()

    assert last["receipt"]["kind"] == "confirmed"
    again = await gateway.get(f"{path}?receipts=true", Last_Event_ID=last_id)
    assert again.status == 204
    async with streaming(
        gateway, f"{path}?receipts=true", Last_Event_ID="4"
    ) as resumed:
        assert [event for _, event in await resumed.rest()] == [last]


async def test_an_event_stream_takes_only_yes_and_no(gateway: RunningGateway) -> None:
    response = await gateway.get(f"{NOTIFICATIONS}/{NOBODYS}/events?receipts=perhaps")

    assert (await problem_of(response))["type"] == "/probs/bad-request"


async def test_the_bus_is_told_of_each_receipt_under_its_kind(
    gateway: RunningGateway, bus: Bus
) -> None:
    subscription = await bus.nc.subscribe("status.default.sms.bounced.*")
    await bus.nc.flush()
    id_ = (await gateway.create())["id"]
    await taken(gateway, body_of(id_), "msg_1")
    for _ in range(2):
        await taken(gateway, body_of(id_, "bounced"), "msg_2")

    message = await subscription.next_msg(timeout=10)
    event = decode(message.data)
    assert isinstance(event, ReceiptArrived)
    assert (str(event.notification_id), event.status) == (id_, Status.QUEUED)
    assert event.receipt.kind == "bounced"

    async def kept() -> bool:
        stream = await bus.js.stream_info("STATUS", subjects_filter="status.>")
        return sum((stream.state.subjects or {}).values()) == 3

    await until(kept, 10)  # queued, confirmed, bounced
    assert subscription.pending_msgs == 0
    assert not isinstance(event, StatusChanged)
