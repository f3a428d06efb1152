"""Settings every service shares: where the servers are, and who this process is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    UrlConstraints,
)
from pydantic.networks import AnyUrl
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

NatsUrl = Annotated[
    AnyUrl, UrlConstraints(allowed_schemes=["nats", "tls", "ws", "wss"])
]


def nats_servers(address: str) -> list[str]:
    """Return the servers that the address of a bus names: one, or several with commas."""
    return [server.strip() for server in address.split(",")]


def _divide(value: object) -> object:
    return nats_servers(value) if isinstance(value, str) else value


#: One server of a bus, or several of one cluster.
NatsUrls = Annotated[
    tuple[NatsUrl, ...], NoDecode, BeforeValidator(_divide), Field(min_length=1)
]

#: A name that is one token of a subject and one label of a metric.
INSTANCE_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


class MeshSettings(BaseSettings):
    """Read from ``TOCSIN_…``; every service's own settings derive from this."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    postgres_dsn: PostgresDsn
    """The ledger, for example ``postgresql://tocsin@127.0.0.1:5432/tocsin``."""
    postgres_pool_size: Annotated[int, Field(ge=1, le=200)] = 8
    """Connections to the ledger this process may hold."""
    nats_url: NatsUrls
    """The bus, for example ``nats://127.0.0.1:4222``; servers of a cluster with commas."""
    nats_creds: Path | None = None
    """Credentials file for the bus, when it asks for one."""
    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Copies of each stream; odd numbers make sense. Every process that makes streams must agree."""
    redis_url: RedisDsn
    """Shared limits, for example ``redis://127.0.0.1:6379/0``."""
    instance: Annotated[str, Field(pattern=INSTANCE_PATTERN)] | None = None
    """Name of this process among its like; made from host and pid when absent."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "pretty"] = "auto"
    """``auto`` is pretty on a terminal, JSON elsewhere."""
    drain_seconds: Annotated[float, Field(gt=0, le=300)] = 8.0
    """How long a service that was told to stop may finish what it holds."""


__all__ = [
    "INSTANCE_PATTERN",
    "MeshSettings",
    "NatsUrl",
    "NatsUrls",
    "SecretStr",
    "nats_servers",
]
