"""Sends receipts as a provider does, and looks at what became of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

from contracts.ids import new_id
from contracts.signatures import signature_headers
from tests.integration.gateway.gateways import NOTIFICATIONS, RunningGateway

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
