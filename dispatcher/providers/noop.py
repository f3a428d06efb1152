"""Accepts everything and sends nothing: for measurements and dry runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic_settings import SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
)

_ACCEPTED = Outcome(kind=OutcomeClass.DELIVERED, code="accepted")


class NoopSettings(ProviderSettings):
    """Nothing that matters."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_NOOP_")


class NoopProvider(Provider):
    """The provider that costs nothing, so that what remains is the dispatcher's own cost."""

    Settings = NoopSettings
    name = "noop"
    channels = frozenset(Channel)

    def __init__(self, settings: NoopSettings) -> None:
        self.timeout_seconds = settings.timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: NoopSettings) -> AsyncIterator["NoopProvider"]:
        """Open nothing."""
        yield cls(settings)

    async def send(self, _message: OutboundMessage) -> Outcome:
        """Accept."""
        return _ACCEPTED
