"""What the dispatcher and a provider say to each other."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass

if TYPE_CHECKING:
    from dispatcher.settings import DispatcherSettings

#: How much of a provider's own words is kept.
WORDS_AT_MOST_BYTES = 256
_SURELY_SHORT = 64


class OutboundMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One notification as a provider is asked to deliver it.

    ``notification_id`` is the idempotency key: every attempt of a notification carries the
    same one, so a provider that honours it delivers once.
    """

    notification_id: UUID
    channel: Channel
    recipient: str
    content: str
    subject: str | None
    attempt: int  #: from 1
    correlation_id: str
    traceparent: str | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended."""

    kind: OutcomeClass
    code: str | None = None  #: the provider's code, or ours: ``timeout``, ``network``
    words: str | None = (
        None  #: what the provider said; redacted and cut before it is kept
    )
    message_id: str | None = None  #: the provider's own id of what it accepted
    retry_after_seconds: float | None = None


class Provider(Protocol):
    """One way out.

    ``send`` may be called concurrently. What the provider answers, an error included, is an
    ``Outcome``; an exception means a bug here and spends no attempt of the notification.
    A call that takes longer than ``timeout_seconds`` is cancelled and counts as transient.
    """

    name: str
    channels: frozenset[Channel]
    timeout_seconds: float

    async def send(self, message: OutboundMessage) -> Outcome:
        """Make one attempt."""
        ...


class ProviderType(Protocol):
    """What an entry point of ``tocsin.providers`` names: a class that opens its provider."""

    @classmethod
    def open(
        cls, settings: "DispatcherSettings"
    ) -> AbstractAsyncContextManager[Provider]:
        """Open what the provider needs (connections, credentials), and close it at the end."""
        ...


def short(text: str) -> str:
    """Return text that fits ``WORDS_AT_MOST_BYTES`` and that the ledger can store.

    Whitespace runs become one space; control characters, which Postgres refuses or which
    would break a terminal, go.
    """
    if len(text) <= _SURELY_SHORT and text.isascii() and text.isprintable():
        return text
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    encoded = clean.encode("utf-8", "replace")
    return encoded[:WORDS_AT_MOST_BYTES].decode("utf-8", "ignore")
