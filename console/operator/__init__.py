"""How the console looks things up and changes them: one door, audited, for one person."""

from typing import Protocol
from uuid import UUID

from console.operator.asked import LaneTarget, LetterPage, LimitTarget, Sought
from contracts.controls import BreakerOrder
from contracts.operations import LetterFilter, OperationKind
from contracts.oversight import (
    AuditEntry,
    AuditPage,
    Effect,
    Found,
    FoundList,
    LaneStanding,
    LimitStanding,
    ProviderStanding,
    Schedule,
)
from ops.client import GatewayError, Notification, Refused, Trace, Unreachable
from ops.letters import Forecast, Group, Letter, Operation

__all__ = [
    "AuditEntry",
    "AuditPage",
    "Effect",
    "Forecast",
    "Found",
    "FoundList",
    "GatewayError",
    "Group",
    "LaneStanding",
    "LaneTarget",
    "Letter",
    "LetterPage",
    "LimitStanding",
    "LimitTarget",
    "Notification",
    "Operation",
    "Operator",
    "ProviderStanding",
    "Refused",
    "Schedule",
    "Sought",
    "Trace",
    "Unreachable",
]


class Operator(Protocol):
    """Asks and acts in the name of ``who``.

    Everything raises GatewayError, whose message is one sentence for people: Refused when
    the answer is no, Unreachable when nobody answered. After an Unreachable it is not known
    whether a change took effect.

    A change is on record when its method returns. It is done when the mesh says so on the
    bus (``OperatorActed`` with the id of the entry), or when its operation is over.
    """

    who: str

    async def reach(self) -> None:
        """Return when somebody answers."""

    async def find(self, sought: Sought, limit: int = 20) -> FoundList:
        """Return the notifications that are sought, newest first."""

    async def notification(self, id_: UUID) -> Notification:
        """Return how a notification stands."""

    async def trace(self, id_: UUID) -> Trace:
        """Return all that happened to a notification."""

    async def letter_groups(self, which: LetterFilter) -> list[Group]:
        """Return what the open dead letters died of, the most frequent first."""

    async def letters(
        self,
        which: LetterFilter,
        *,
        state: str = "open",
        limit: int = 100,
        cursor: UUID | None = None,
    ) -> LetterPage:
        """Return a page of dead letters, newest first; at most 100."""

    async def operations(self) -> list[Operation]:
        """Return the newest operations, newest first."""

    async def operation(self, id_: UUID) -> Operation:
        """Return how far an operation has come."""

    async def audit(
        self, *, limit: int = 50, before: UUID | None = None, action: str | None = None
    ) -> AuditPage:
        """Return what operators did, newest first."""

    async def schedule(self, *, job: str | None = None, limit: int = 50) -> Schedule:
        """Return the scheduler's jobs and their recorded runs."""

    async def lanes(self) -> list[LaneStanding]:
        """Return the lanes with their pauses and limits, and who ordered them."""

    async def breakers(self) -> list[ProviderStanding]:
        """Return the providers' breakers, and what operators ordered them to do."""

    async def limits(self) -> list[LimitStanding]:
        """Return the limits that operators have set."""

    async def pause(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Have a lane, or a whole channel, hold back what it has."""

    async def resume(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Take a pause back."""

    async def order_breaker(
        self, provider: str, order: BreakerOrder, reason: str
    ) -> AuditEntry:
        """Order a provider's breaker."""

    async def set_limit(
        self, target: LimitTarget, per_second: float, reason: str
    ) -> AuditEntry:
        """Set what a channel or provider may send per second; 0 is unlimited."""

    async def clear_limit(self, target: LimitTarget, reason: str) -> AuditEntry:
        """Go back to the limit of the settings."""

    async def forecast(self, kind: OperationKind, which: LetterFilter) -> Forecast:
        """Say what a replay or discard would do, and do nothing."""

    async def replay(
        self, which: LetterFilter, *, reason: str, rate_per_second: float
    ) -> Operation:
        """Have failed notifications sent again, at a rate."""

    async def discard(self, which: LetterFilter, *, reason: str) -> Operation:
        """Have dead letters put away for good."""

    async def stop(self, id_: UUID) -> Operation:
        """Stop an operation; what it has done stays done."""

    async def cancel(self, id_: UUID, reason: str) -> Notification:
        """Call a notification back before it is sent."""
