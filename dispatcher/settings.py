"""Settings of the dispatcher, read from ``TOCSIN_…``."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator

from contracts import topology
from contracts.settings import MeshSettings
from dispatcher import retries
from dispatcher.errors import RetriesInvalid
from dispatcher.providers.addresses import is_public
from dispatcher.providers.signatures import signing_key


class DispatcherSettings(MeshSettings):
    """Everything a dispatcher can be told."""

    dispatcher_metrics_host: str = "127.0.0.1"
    """Where health and metrics listen."""
    dispatcher_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9102
    """0 takes any free port."""
    dispatcher_provider: str = "webhook"
    """Name of the provider that all channels go through (entry points ``tocsin.providers``)."""
    dispatcher_channel_rate: Annotated[float, Field(ge=0, le=1_000_000)] = 100.0
    """Messages per second and channel, all dispatchers together; 0 is unlimited."""
    dispatcher_concurrency: Annotated[int, Field(ge=4, le=10_000)] = 200
    """Sends in flight per channel in this process."""
    dispatcher_group_at_most: Annotated[int, Field(ge=1, le=1_000)] = 500
    """Notifications claimed by one statement."""
    dispatcher_lease_seconds: Annotated[
        float, Field(ge=1, le=topology.ACK_WAIT_SECONDS)
    ] = 15.0
    """How long a dispatcher that died keeps what it held; renewed while it lives.

    At most the bus's acknowledgement wait, so that a message does not come again while its
    row is still leased to a dead dispatcher for much longer.
    """
    dispatcher_retries_file: Path = retries.BUNDLED
    """When to try again; see the comments of the bundled ``dispatcher/retries.toml``."""

    webhook_url: HttpUrl | None = None
    """Where the webhook provider posts every notification."""
    webhook_allow_private: bool = False
    """Let the webhook call addresses that are not public (loopback, private networks)."""
    webhook_secret: SecretStr | None = None
    """Signs every request with Standard Webhooks headers; ``whsec_`` and base64, or any text."""
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """After this an attempt counts as failed."""

    @field_validator("dispatcher_retries_file")
    @classmethod
    def retries_are_readable(cls, path: Path) -> Path:
        """Read the retry policies once, so that a mistake in them stops the start."""
        try:
            retries.load(path)
        except RetriesInvalid as error:
            raise ValueError(str(error)) from error
        return path

    @field_validator("webhook_secret")
    @classmethod
    def secret_is_usable(cls, secret: SecretStr | None) -> SecretStr | None:
        """Take an empty variable for an absent one: it would sign with nothing."""
        if secret is None or not secret.get_secret_value():
            return None
        signing_key(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def webhook_has_an_address(self) -> Self:
        """Refuse a webhook without a URL, or with one that no request would reach."""
        if self.dispatcher_provider != "webhook":
            return self
        if self.webhook_url is None:
            raise ValueError(
                "set TOCSIN_WEBHOOK_URL, or choose another TOCSIN_DISPATCHER_PROVIDER"
            )
        host = (self.webhook_url.host or "").strip("[]")
        if not self.webhook_allow_private and _is_private_literal(host):
            raise ValueError(
                f"TOCSIN_WEBHOOK_URL: {host} is not a public address; "
                "set TOCSIN_WEBHOOK_ALLOW_PRIVATE=true if it is meant"
            )
        return self


def _is_private_literal(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False  # a name: checked when it is resolved
    return not is_public(host)
