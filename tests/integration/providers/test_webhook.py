"""The webhook provider against a real endpoint."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.outcomes import OutcomeClass
from contracts.signatures import signature_headers, signing_key
from dispatcher.providers.port import OutboundMessage
from dispatcher.providers.webhook import WebhookProvider, WebhookSettings
from tests.integration.dispatcher.endpoint import Endpoint, Reply, running_endpoint
from tests.integration.providers.conformance import ProviderConformance
from tests.integration.providers.far_sides import (
    RETRY_AFTER_SECONDS,
    FarSide,
    HttpFarSide,
    Mood,
    Parcel,
)

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgd2ViaG9vaw=="
STATUSES = {Mood.TRANSIENT: 503, Mood.THROTTLED: 429, Mood.PERMANENT: 422}


class Receiver(HttpFarSide):
    """An endpoint of the webhook contract."""

    async def read(self, request: web.BaseRequest) -> Parcel:
        body = json.loads(await request.read())
        return Parcel(body["to"], body["content"], request.headers["Idempotency-Key"])

    def accept(self, parcel: Parcel) -> web.Response:
        return web.json_response({"messageId": f"m-{len(self.parcels)}"}, status=202)

    def refuse(self, mood: Mood, words: str) -> web.Response:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return web.Response(status=STATUSES.get(mood, 500), text=words, headers=headers)


class TestConformance(ProviderConformance):
    name = "webhook"
    channel = Channel.PUSH
    required = frozenset({"TOCSIN_WEBHOOK_URL"})
    secrets = (SECRET, "the secret of the webhook")

    def run_far_side(self) -> AbstractAsyncContextManager[FarSide]:
        return Receiver.running()

    def environment(self, far_side: Receiver) -> dict[str, str]:
        return {
            "TOCSIN_WEBHOOK_URL": f"{far_side.url}/send",
            "TOCSIN_WEBHOOK_ALLOW_PRIVATE": "true",
            "TOCSIN_WEBHOOK_SECRET": SECRET,
        }


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


@asynccontextmanager
async def provider_for(url: str, **given: Any) -> AsyncIterator[WebhookProvider]:
    facts = {"url": url, "allow_private": True, **given}
    async with WebhookProvider.open(WebhookSettings(**facts)) as provider:
        yield provider


def message(**given: Any) -> OutboundMessage:
    facts: dict[str, Any] = {
        "notification_id": new_id(),
        "channel": Channel.EMAIL,
        "recipient": "someone@example.com",
        "content": "The kettle is on.",
        "subject": None,
        "attempt": 1,
        "correlation_id": "corr-1",
        "traceparent": None,
    }
    return OutboundMessage(**(facts | given))


async def test_a_request_carries_what_is_known_and_nothing_else(
    endpoint: Endpoint,
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = message(subject="Tea", traceparent=trace)
    async with provider_for(endpoint.url) as provider:
        outcome = await provider.send(sent)
        await provider.send(message())

    assert (outcome.kind, outcome.message_id) == (OutcomeClass.DELIVERED, "m-1")
    full, bare = endpoint.received
    assert full.body == {
        "to": "someone@example.com",
        "channel": "email",
        "content": "The kettle is on.",
        "subject": "Tea",
    }
    assert full.headers["traceparent"] == trace
    assert "subject" not in bare.body
    assert "traceparent" not in bare.headers
    assert "webhook-signature" not in bare.headers


@pytest.mark.parametrize(
    "secrets",
    [
        {"secret": "whsec_c2VjcmV0"},
        {"secret": "whsec_c2VjcmV0", "previous_secret": "the old one"},
    ],
    ids=["one", "two"],
)
async def test_a_request_is_signed_with_every_secret_there_is(
    endpoint: Endpoint, secrets: dict[str, str]
) -> None:
    sent = message()
    async with provider_for(endpoint.url, **secrets) as provider:
        await provider.send(sent)

    [received] = endpoint.received
    signed_at = int(received.headers["webhook-timestamp"])
    keys = [signing_key(secret) for secret in secrets.values()]
    expected = signature_headers(keys, sent.notification_id, received.raw, signed_at)
    assert received.headers.items() >= expected.items()


async def test_a_refusal_keeps_its_words_and_its_wait(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: Reply(429, "slow down", {"Retry-After": "7"})
    async with provider_for(endpoint.url) as provider:
        outcome = await provider.send(message())

    assert outcome.kind is OutcomeClass.THROTTLED
    assert (outcome.words, outcome.retry_after_seconds) == ("slow down", 7)


async def test_an_endless_answer_is_not_read_to_its_end(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: Reply(500, "x" * 5_000_000)
    async with provider_for(endpoint.url) as provider:
        outcome = await provider.send(message())

    assert outcome.kind is OutcomeClass.TRANSIENT
    assert len(outcome.words or "") <= 8192


async def test_a_redirect_is_not_followed(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: Reply(307, "", {"Location": endpoint.url})
    async with provider_for(endpoint.url) as provider:
        outcome = await provider.send(message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "307")
    assert len(endpoint.received) == 1


async def test_a_name_that_leads_into_a_private_network_is_refused(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name passes the settings; its address is looked at when it is connected to."""
    port = int(endpoint.url.split(":")[2].partition("/")[0])
    loop = asyncio.get_running_loop()

    async def resolve(*_: object, **__: object) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("127.0.0.1", port)), (*kind, ("10.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    url = f"http://provider.example:{port}/send"
    async with provider_for(url, allow_private=False) as provider:
        outcome = await provider.send(message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "address_refused")
    assert endpoint.received == []
    async with provider_for(url) as provider:
        assert (await provider.send(message())).kind is OutcomeClass.DELIVERED


async def test_connections_are_used_again(endpoint: Endpoint) -> None:
    endpoint.answer = lambda received: Reply(
        422 if received.body["content"] == "bad" else 202
    )
    async with provider_for(endpoint.url) as provider:
        for content in ("good", "bad", "good", "bad"):
            await provider.send(message(content=content))

    assert len(endpoint.peers) == 1
