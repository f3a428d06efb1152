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
