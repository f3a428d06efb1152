"""The webhook provider against a real endpoint."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.outcomes import OutcomeClass
from dispatcher.providers.port import OutboundMessage
from dispatcher.providers.signatures import signature_headers, signing_key
from dispatcher.providers.webhook import WebhookProvider
from dispatcher.settings import DispatcherSettings
from tests.integration.dispatcher.endpoint import Endpoint, Reply, running_endpoint


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


@asynccontextmanager
async def provider_for(url: str, **given: Any) -> AsyncIterator[WebhookProvider]:
    settings = DispatcherSettings.model_validate(
        {
            "postgres_dsn": "postgresql://unused@127.0.0.1/unused",
            "nats_url": "nats://127.0.0.1:1",
            "redis_url": "redis://127.0.0.1:1/0",
            "webhook_url": url,
            "webhook_allow_private": True,
            **given,
        }
    )
    async with WebhookProvider.open(settings) as provider:
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


async def test_a_request_is_signed_when_there_is_a_secret(endpoint: Endpoint) -> None:
    secret = "whsec_c2VjcmV0"
    sent = message()
    async with provider_for(endpoint.url, webhook_secret=secret) as provider:
        await provider.send(sent)

    [received] = endpoint.received
    signed_at = int(received.headers["webhook-timestamp"])
    expected = signature_headers(
        signing_key(secret), sent.notification_id, received.raw, signed_at
    )
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


async def test_nobody_listening_is_transient() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{door.getsockname()[1]}/send"
        async with provider_for(url) as provider:
            outcome = await provider.send(message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "network")
    assert outcome.words == "ClientConnectorError"


async def test_a_connection_that_breaks_is_transient() -> None:
    async def hang_up(
        _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with provider_for(f"http://127.0.0.1:{port}/") as provider:
            outcome = await provider.send(message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "network")


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
    async with provider_for(url, webhook_allow_private=False) as provider:
        outcome = await provider.send(message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.PERMANENT, "address_refused")
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
