"""Mistakes in a dispatcher's settings stop it at the start, by name."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import topology
from dispatcher.settings import DispatcherSettings
from dispatcher.store import Store, statements
from ops.runtime.service import describe


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_URL", "https://provider.example/send")


def settings(**given: Any) -> DispatcherSettings:
    return DispatcherSettings.model_validate(
        {
            "postgres_dsn": "postgresql://tocsin@127.0.0.1/tocsin",
            "nats_url": "nats://127.0.0.1:4222",
            "redis_url": "redis://127.0.0.1/0",
            **given,
        }
    )


def test_the_defaults_are_those_people_are_told() -> None:
    defaults = settings()

    assert defaults.dispatcher_channel_rate == 100
    assert defaults.dispatcher_concurrency == 200
    assert defaults.dispatcher_group_at_most == 500
    assert defaults.dispatcher_lease_seconds == 15 <= topology.ACK_WAIT_SECONDS
    assert defaults.dispatcher_provider == "webhook"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"dispatcher_provider": "pigeon"},
            "TOCSIN_DISPATCHER_PROVIDER: no provider is called 'pigeon'; known: ",
        ),
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


def test_a_mistake_in_the_provider_s_own_settings_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TOCSIN_WEBHOOK_URL")
    with pytest.raises(ValidationError) as caught:
        settings()

    assert describe(caught.value) == (
        "TOCSIN_DISPATCHER_PROVIDER: TOCSIN_WEBHOOK_URL: Field required"
    )


def test_another_provider_needs_no_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOCSIN_WEBHOOK_URL")

    assert settings(dispatcher_provider="noop")


def test_every_statement_is_used() -> None:
    source = Path(Store.claim.__code__.co_filename).read_text()

    for name in statements.names():
        assert f"statements.{name}," in source
