"""Settings of the sandbox provider."""

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.signatures import signing_key


class SandboxSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_SANDBOX_", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8025, ge=0, le=65535)
    """0 takes any free port; the chosen address is printed."""
    keep: int = Field(default=100_000, ge=1)
    """Messages kept in memory; the oldest are dropped first."""
    seed: int | None = None
    """Makes the share of requests a behaviour affects repeatable."""
    receipts_url: HttpUrl | None = None
    """Where receipts go that somebody asks for: a gateway's ``/api/v1/receipts/<name>``."""
    receipts_secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """What they are signed with, as the gateway knows it."""

    @field_validator("receipts_secret")
    @classmethod
    def _signs_what_it_sends(
        cls, secret: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if secret is None and info.data.get("receipts_url") is not None:
            raise ValueError("receipts go nowhere unsigned")
        if secret is not None:
            signing_key(secret.get_secret_value())
        return secret
