"""Mistakes in a dispatcher's settings stop it at the start, by name."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import topology
from dispatcher.errors import ProviderUnknown
from dispatcher.providers import discovery
from dispatcher.providers.noop import NoopProvider
from dispatcher.providers.webhook import WebhookProvider
from dispatcher.settings import DispatcherSettings
from dispatcher.store import Store, statements
from ops.runtime.service import describe


def settings(**given: Any) -> DispatcherSettings:
    return DispatcherSettings.model_validate(
        {
            "postgres_dsn": "postgresql://tocsin@127.0.0.1/tocsin",
            "nats_url": "nats://127.0.0.1:4222",
            "redis_url": "redis://127.0.0.1/0",
            "webhook_url": "https://provider.example/send",
            **given,
        }
    )


def test_the_defaults_are_those_people_are_told() -> None:
    defaults = settings()

    assert defaults.dispatcher_channel_rate == 100
    assert defaults.dispatcher_concurrency == 200
    assert defaults.dispatcher_group_at_most == 500
    assert defaults.dispatcher_lease_seconds == 15 <= topology.ACK_WAIT_SECONDS
    assert defaults.webhook_timeout_seconds == 5
    assert defaults.webhook_allow_private is False


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"webhook_url": None}, "set TOCSIN_WEBHOOK_URL"),
        ({"webhook_url": "http://127.0.0.1:1/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ({"webhook_url": "http://[::1]/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ({"webhook_url": "http://localhost/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ({"webhook_url": "ftp://provider.example/"}, "TOCSIN_WEBHOOK_URL"),
        ({"webhook_secret": "whsec_!"}, "TOCSIN_WEBHOOK_SECRET"),
        (
            {"dispatcher_lease_seconds": topology.ACK_WAIT_SECONDS + 1},
            "TOCSIN_DISPATCHER_LEASE_SECONDS",
        ),
        ({"dispatcher_channel_rate": -1}, "TOCSIN_DISPATCHER_CHANNEL_RATE"),
        (
            {"dispatcher_retries_file": "/nowhere.toml"},
            "TOCSIN_DISPATCHER_RETRIES_FILE",
        ),
    ],
)
def test_a_mistake_is_named(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**given)

    assert complaint in describe(caught.value)


def test_a_private_webhook_is_taken_when_it_is_meant() -> None:
    assert settings(webhook_url="http://127.0.0.1:8025/", webhook_allow_private=True)


def test_another_provider_needs_no_webhook() -> None:
    assert settings(webhook_url=None, dispatcher_provider="noop")


def test_an_empty_secret_is_none() -> None:
    assert settings(webhook_secret="").webhook_secret is None


def test_secrets_are_not_shown() -> None:
    shown = repr(settings(webhook_secret="very secret"))

    assert "very secret" not in shown


def test_providers_are_found_by_name() -> None:
    assert discovery.find("webhook") is WebhookProvider
    assert discovery.find("noop") is NoopProvider
    with pytest.raises(ProviderUnknown, match="known: noop, webhook"):
        discovery.find("pigeon")


def test_every_statement_is_used() -> None:
    source = Path(Store.claim.__code__.co_filename).read_text()

    for name in statements.names():
        assert f"statements.{name}," in source
