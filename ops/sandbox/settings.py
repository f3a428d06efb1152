"""Settings of the sandbox provider."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TOCSIN_SANDBOX_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8025, ge=0, le=65535)
    """0 takes any free port; the chosen address is printed."""
    keep: int = Field(default=100_000, ge=1)
    """Messages kept in memory; the oldest are dropped first."""
    seed: int | None = None
    """Makes the share of requests a behaviour affects repeatable."""
