import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings, is_loopback

SERVERS: dict[str, Any] = {
    "postgres_dsn": "postgresql://tocsin@127.0.0.1:5432/tocsin",
    "nats_url": "nats://127.0.0.1:4222",
    "redis_url": "redis://127.0.0.1:6379/0",
}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_keys_may_be_off_on_loopback(host: str) -> None:
    assert is_loopback(host)
    assert GatewaySettings(**SERVERS, gateway_host=host).gateway_require_keys is False


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "", "example.com", "localhost.example.com"]
)
def test_listening_elsewhere_without_keys_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="set it to true"):
        GatewaySettings(**SERVERS, gateway_host=host)
    GatewaySettings(**SERVERS, gateway_host=host, gateway_require_keys=True)


def test_the_refusal_is_one_sentence_and_exit_code_2() -> None:
    environment = {f"TOCSIN_{name.upper()}": value for name, value in SERVERS.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env={**os.environ, **environment, "TOCSIN_GATEWAY_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "tocsin gateway: TOCSIN_GATEWAY_REQUIRE_KEYS: set it to true to listen on "
        "'0.0.0.0': without keys the gateway listens on loopback only\n"
    )


def test_networks_and_origins_are_words_with_commas_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.7")
    monkeypatch.setenv("TOCSIN_GATEWAY_CORS_ORIGINS", "https://a.example.com")
    settings = GatewaySettings(**SERVERS)

    assert list(map(str, settings.gateway_trusted_proxies)) == [
        "10.0.0.0/8",
        "192.168.1.7/32",
    ]
    assert settings.gateway_cors_origins == ("https://a.example.com",)


def test_what_is_no_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8")
    with pytest.raises(ValidationError, match="host bits"):
        GatewaySettings(**SERVERS)


@pytest.mark.parametrize(
    "origins", ["app.example.com", "https://app.example.com/", "null", "https://a b"]
)
def test_what_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        GatewaySettings(**SERVERS, gateway_cors_origins=origins)


def test_every_origin_may_call_only_where_keys_are_asked_for() -> None:
    with pytest.raises(ValidationError, match="REQUIRE_KEYS=true"):
        GatewaySettings(**SERVERS, gateway_cors_origins="*")
    GatewaySettings(**SERVERS, gateway_cors_origins="*", gateway_require_keys=True)


def test_receipts_of_twilio_need_the_address_that_it_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_GATEWAY_RECEIPTS", "twilio")
    monkeypatch.setenv("TOCSIN_RECEIPTS_TWILIO_SECRET", "the auth token")
    with pytest.raises(ValidationError, match="TOCSIN_GATEWAY_PUBLIC_URL"):
        GatewaySettings(**SERVERS)

    monkeypatch.setenv("TOCSIN_GATEWAY_PUBLIC_URL", "https://notify.example.com")
    settings = GatewaySettings(**SERVERS)

    [source] = settings.gateway_receipts
    assert source.secrets == ["the auth token"]
    assert "the auth token" not in repr(settings)


def test_what_the_contract_says_holds_unless_it_is_set() -> None:
    settings = GatewaySettings(**SERVERS)

    assert settings.gateway_idempotency_hours == 24
    assert settings.gateway_rate_limit == 6_000
    assert settings.gateway_header_seconds == 10
    assert settings.gateway_body_seconds == 30
    assert settings.gateway_answer_seconds == 60
    assert settings.gateway_send_seconds == 30
    assert settings.gateway_cors_origins == ()
