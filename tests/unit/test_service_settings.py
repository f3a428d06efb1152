"""Which settings make two processes of one service differ."""

from typing import Any

import pytest
from pydantic import SecretStr

from contracts.settings import MeshSettings
from ops.runtime.service import settings_hash


class ExampleSettings(MeshSettings):
    example_port: int = 9102
    example_token: SecretStr = SecretStr("none")
    example_rate: float = 100.0


def hash_of(**changes: Any) -> str:
    values: dict[str, Any] = {
        "postgres_dsn": "postgresql://tocsin:secret@db:5432/tocsin",
        "nats_url": "nats://bus:4222",
        "redis_url": "redis://cache:6379/0",
        **changes,
    }
    return settings_hash(ExampleSettings(**values))


@pytest.mark.parametrize(
    "changes",
    [
        {"instance": "dispatcher-2"},
        {"example_port": 9103},
        {"log_level": "debug"},
        {"example_token": SecretStr("other")},
        {"postgres_dsn": "postgresql://tocsin:other@db:5432/tocsin"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_names_a_process_or_is_secret_does_not_count(
    changes: dict[str, Any],
) -> None:
    assert hash_of(**changes) == hash_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"example_rate": 50.0},
        {"postgres_dsn": "postgresql://tocsin:secret@other:5432/tocsin"},
        {"drain_seconds": 20.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_process_does_counts(changes: dict[str, Any]) -> None:
    assert hash_of(**changes) != hash_of()
