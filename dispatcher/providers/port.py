"""What the dispatcher and a provider say to each other."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Protocol
from uuid import UUID

import msgspec
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass

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


class ProviderSettings(BaseSettings):
    """What one provider can be told; each has a class of its own, derived from this.

    ``env_prefix`` says where its values come from, as in ``TOCSIN_TWILIO_``. An empty
    variable is an absent one. A secret is a ``SecretStr``, so that no ``repr`` shows it.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """After this an attempt counts as failed."""

    def carried(self, channels: frozenset[Channel]) -> frozenset[Channel]:
        """Return which of its kind's ``channels`` a provider with these settings carries."""
        return channels


class Provider(Protocol):
    """One way out.

    ``send`` may be called concurrently. What the provider answers, an error included, is an
    ``Outcome``; an exception means a bug here and spends no attempt of the notification.
    A call that takes longer than ``timeout_seconds`` is cancelled and counts as transient.
    """

    name: str
    channels: frozenset[Channel]
    timeout_seconds: float
    concurrency: int | None = None
    """Sends of one channel at a time; None takes as many as come, less than 4 counts as 4.

    It is read once, after the provider was opened.
    """

    async def send(self, message: OutboundMessage) -> Outcome:
        """Make one attempt."""
        ...


class ProviderType(Protocol):
    """What an entry point of ``tocsin.providers`` names: a class that opens its provider."""

    Settings: type[ProviderSettings]
    channels: frozenset[Channel]

    @classmethod
    def open(cls, settings: Any) -> AbstractAsyncContextManager[Provider]:
        """Open what the provider needs, and close it at the end.

        ``settings`` is of the class's own ``Settings``. The far side need not be there yet.
        """
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
