"""Receipts are taken from who has signed them, as each provider signs, and from nobody else."""

import time
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest

from contracts.receipts import RECEIPT_AT_MOST_BYTES
from contracts.settings import MeshSettings
from gateway.receipts import twilio
from ops.runtime.bus import Bus
from tests.integration.gateway.gateways import (
    NOBODYS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.receipts.sending import (
    OLD_SECRET,
    PATH,
    PUBLIC,
    SECRET,
    SETTINGS,
    TOKEN,
    body_of,
    events,
    send,
    shown,
    taken,
    traced,
)


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
