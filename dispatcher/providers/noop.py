"""Accepts everything and sends nothing: for measurements and dry runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.port import OutboundMessage, Outcome

if TYPE_CHECKING:
    from dispatcher.settings import DispatcherSettings

_ACCEPTED = Outcome(kind=OutcomeClass.DELIVERED, code="accepted")


class NoopProvider:
    """The provider that costs nothing, so that what remains is the dispatcher's own cost."""

    name = "noop"
    channels = frozenset(Channel)
    timeout_seconds = 1.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, _settings: "DispatcherSettings"
    ) -> AsyncIterator["NoopProvider"]:
        """Open nothing."""
        yield cls()

    async def send(self, _message: OutboundMessage) -> Outcome:
        """Accept."""
        return _ACCEPTED
