"""What a dispatcher has in hand: messages of the bus, and the claims behind them."""

import time
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from contracts.channels import Channel, Lane, Priority
from dispatcher.retries import Attempt


class Claim(msgspec.Struct, frozen=True):
    """One row as the claim returned it; in the order of the statement's columns."""

    id: UUID
    fence: int  #: the outcome is accepted only while the row's sequence is this
    attempts: int
    max_attempts: int
    tenant: str
    channel: Channel
    priority: Priority
    recipient: str
    subject: str | None
    content: str
    correlation_id: str
    traceparent: str | None
    batch_id: UUID | None
    expires_at: datetime | None
    at: datetime  #: when it was claimed, by the ledger's clock
    lost_leases: int = 0  #: dispatchers that were lost while they were sending it

    @property
    def attempt(self) -> Attempt:
        """Return where this claim stands in the notification's budget."""
        return Attempt(self.attempts, self.max_attempts, self.expires_at)


class Holding:
    """One message from its arrival until it is acknowledged, put back, or left to others."""

    __slots__ = (
        "_claimed_at",
        "claim",
        "has_outcome",
        "id",
        "lane",
        "leased_until",
        "reply",
        "since",
    )

    def __init__(self, id_: UUID, lane: Lane, reply: str) -> None:
        self.id = id_
        self.lane = lane
        self.reply = reply
        self.since = time.monotonic()  #: when it came, or the ledger last heard of it
        self.claim: Claim | None = None
        self.has_outcome = False
        self.leased_until = 0.0  #: on the monotonic clock; 0 once the lease is lost
        self._claimed_at = 0.0

    def lease(self, claim: Claim, asked_at: float, lease_seconds: float) -> None:
        """Attach a claim; the lease counts from before the statement was sent."""
        self.claim = claim
        self.since = self._claimed_at = asked_at
        self.leased_until = asked_at + lease_seconds

    @property
    def is_leased(self) -> bool:
        """Say whether the row is certainly still ours."""
        return time.monotonic() < self.leased_until

    @property
    def is_expired(self) -> bool:
        """Say whether the notification is no longer worth sending."""
        assert self.claim is not None
        return self.claim.expires_at is not None and self.now() >= self.claim.expires_at

    def now(self) -> datetime:
        """Return the time by the ledger's clock, so that hosts need not agree on one."""
        assert self.claim is not None
        elapsed = time.monotonic() - self._claimed_at
        return self.claim.at + timedelta(seconds=elapsed)
