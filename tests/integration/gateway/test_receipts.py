"""What providers tell after they have accepted a notification, at a running gateway."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.messages import ReceiptArrived, StatusChanged, decode
from contracts.receipts import RECEIPT_AT_MOST_BYTES, Receipt
from contracts.settings import MeshSettings
from contracts.signatures import signature_headers
from dispatcher.store import Result, Store as DispatcherStore
from gateway.receipts import twilio
from gateway.receipts.store import RECEIPTS_AT_MOST, SQL
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.following import Mesh, following, streaming
from tests.integration.gateway.gateways import (
    NOBODYS,
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.waiting import until

PATH = "/api/v1/receipts/acme"
SECRET = "what acme signs with"
OLD_SECRET = "what acme signed with before"
TOKEN = "the auth token of the account"
PUBLIC = "https://notify.example.com/tocsin"
SETTINGS: dict[str, Any] = {
    "gateway_public_url": PUBLIC,
    "gateway_receipts": [
        {
            "name": "acme",
            "form": "webhook",
            "secret": SECRET,
            "previous_secret": OLD_SECRET,
        },
        {"name": "twilio", "form": "twilio", "secret": TOKEN},
    ],
}
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings, **SETTINGS) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def mesh(gateway: RunningGateway, bus: Bus) -> Mesh:
    return Mesh(gateway.ledger, bus)


def body_of(
    notification_id: str, kind: str = "confirmed", seconds: float = 0, **data: str
) -> bytes:
    return msgspec.json.encode(
        {
            "type": f"receipt.{kind}",
            "timestamp": NOW + timedelta(seconds=seconds),
            "data": {"notification_id": notification_id, **data},
        }
    )


async def send(
    gateway: RunningGateway,
    body: bytes,
    webhook_id: str = "",
    *,
    secret: str = SECRET,
    moment: int | None = None,
    headers: dict[str, str] | None = None,
) -> aiohttp.ClientResponse:
    signed = signature_headers(
        [secret.encode()], webhook_id or str(new_id()), body, moment
    )
    everything = {"Content-Type": "application/json"} | signed | (headers or {})
    response = await gateway.http.post(PATH, data=body, headers=everything)
    await response.read()
    return response


async def taken(gateway: RunningGateway, *args: Any, **more: Any) -> str:
    """Send a receipt that is taken, and return what became of it."""
    response = await send(gateway, *args, **more)
    assert response.status == 200, await response.text()
    return str((await response.json())["outcome"])


async def shown(gateway: RunningGateway, id_: str) -> dict[str, Any]:
    view: dict[str, Any] = await (await gateway.get(f"{NOTIFICATIONS}/{id_}")).json()
    return view


async def traced(gateway: RunningGateway, id_: str) -> list[tuple[str, dict[str, Any]]]:
    page = await (await gateway.get(f"{NOTIFICATIONS}/{id_}/trace")).json()
    return [(entry["event"], entry["details"]) for entry in page["entries"]]


async def events(gateway: RunningGateway, id_: str) -> list[str]:
    return [event for event, _ in await traced(gateway, id_)]


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


async def test_while_a_secret_is_changed_either_one_is_good(
    gateway: RunningGateway,
) -> None:
    id_ = (await gateway.create())["id"]

    for secret in (OLD_SECRET, SECRET):
        assert await taken(gateway, body_of(id_), secret=secret) == "confirmed"


async def test_what_is_not_signed_is_refused_and_does_nothing(
    gateway: RunningGateway,
) -> None:
    id_ = (await gateway.create())["id"]
    body = body_of(id_)
    now = int(time.time())
    refused = [
        await send(gateway, body, secret="guessed"),
        await send(gateway, body, moment=now - 600),
        await send(gateway, body, moment=now + 600),
        await send(gateway, body, headers={"webhook-signature": ""}),
        await send(gateway, body, headers={"webhook-id": "another"}),
        await gateway.post(msgspec.json.decode(body), PATH),
        await gateway.post({}, PATH, Authorization="Bearer tocsin_key"),
    ]

    for response in refused:
        problem = await problem_of(response)
        assert (problem["status"], problem["type"]) == (401, "/probs/unauthorized")
        assert response.headers["WWW-Authenticate"] == "Signature"
        assert SECRET not in await response.text()
    assert "receipt" not in await shown(gateway, id_)
    assert await events(gateway, id_) == ["created", "queued"]
    counted = gateway.metric("tocsin_receipts_total", form="webhook", outcome="refused")
    assert counted == len(refused)


async def test_what_is_signed_and_no_receipt_is_refused(
    gateway: RunningGateway,
) -> None:
    kinds = {
        "malformed-body": await send(gateway, b'{"type":"receipt.bounced"}'),
        "unsupported-media-type": await send(
            gateway, b"{}", headers={"Content-Type": "text/plain"}
        ),
        "payload-too-large": await send(gateway, b" " * (RECEIPT_AT_MOST_BYTES + 1)),
        "not-found": await gateway.post({}, "/api/v1/receipts/stranger"),
    }

    for kind, response in kinds.items():
        assert (await problem_of(response))["type"] == f"/probs/{kind}"


async def test_guesses_are_limited_and_receipts_are_not(
    settings: MeshSettings, bus: Bus
) -> None:
    limited = {**SETTINGS, "gateway_rate_limit": 3}
    async with running_gateway(settings, **limited) as gateway:
        statuses = [
            (await send(gateway, b"{}", secret="guessed")).status for _ in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]

        assert await taken(gateway, body_of(NOBODYS)) == "unknown"


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


async def callback(
    gateway: RunningGateway,
    id_: str,
    status: str,
    *,
    token: str = TOKEN,
    public: str = PUBLIC,
    **more: str,
) -> aiohttp.ClientResponse:
    """Call back as Twilio does: signed over the address that it was given."""
    path = f"/api/v1/receipts/twilio?notification={id_}"
    fields = {
        "MessageSid": f"SM{'0a' * 16}",
        "MessageStatus": status,
        "To": "+15555550001",
        "From": "+15005550006",
        "ApiVersion": "2010-04-01",
        **more,
    }
    signature = twilio.sign(token, public + path, list(fields.items()))
    response = await gateway.http.post(
        path,
        data=urlencode(fields),
        headers={
            "X-Twilio-Signature": signature.decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    await response.read()
    return response


async def test_twilio_confirms_by_the_address_it_was_given(
    gateway: RunningGateway,
) -> None:
    id_ = (await gateway.create())["id"]

    answers = [
        (await (await callback(gateway, id_, status)).json())["outcome"]
        for status in ("queued", "sent", "delivered", "delivered")
    ]

    assert answers == ["ignored", "ignored", "confirmed", "repeated"]
    receipt = (await shown(gateway, id_))["receipt"]
    assert (receipt["provider"], receipt["message_id"]) == (
        "twilio",
        f"SM{'0a' * 16}",
    )
    assert "+1555" not in str(await traced(gateway, id_))


async def test_twilio_tells_of_a_bounce_with_its_code(gateway: RunningGateway) -> None:
    id_ = (await gateway.create())["id"]

    await callback(gateway, id_, "undelivered", ErrorCode="30003")

    receipt = (await shown(gateway, id_))["receipt"]
    assert (receipt["kind"], receipt["code"]) == ("bounced", "30003")


@pytest.mark.parametrize(
    "wrong",
    [{"token": "guessed"}, {"public": "http://127.0.0.1:8080"}],
    ids=["token", "address"],
)
async def test_who_signs_otherwise_than_twilio_is_refused(
    gateway: RunningGateway, wrong: dict[str, str]
) -> None:
    response = await callback(gateway, NOBODYS, "delivered", **wrong)

    assert (await problem_of(response))["type"] == "/probs/unauthorized"


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
