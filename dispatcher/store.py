"""The dispatcher's SQL: claims, outcomes and leases, always in groups."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from contracts.outcomes import FailureClass
from dispatcher.holdings import Claim
from ops.runtime.ledger import Ledger
from ops.runtime.sql import Statements

statements = Statements(Path(__file__).with_name("store.sql"))

# A dictionary answers in a third of the time that calling the enum takes.
_CHANNELS = {str(channel): channel for channel in Channel}
_PRIORITIES = {str(priority): priority for priority in Priority}

#: Less than the ledger's own patience, which ends with a question to the server.
_PATIENCE_SECONDS = 10.0


class Sighting(msgspec.Struct, frozen=True):
    """What the ledger says of a row that was not claimed."""

    id: UUID
    status: Status
    is_final: bool
    on_bus: bool  #: False: the scheduler will put it on the bus at its time
    expired: bool
    exhausted: bool  #: of attempts, or of dispatchers
    suspect: bool  #: its dispatcher was lost before
    lease_seconds: float | None  #: left of the lease; negative when it has ended
    wait_seconds: float | None  #: until the next attempt is due; negative when it is


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one claim, as the ledger keeps it."""

    id: UUID
    fence: int
    status: Status
    details: str  #: JSON for the trace; never a recipient or a body
    spared: bool = False  #: the attempt is given back
    retry_at: datetime | None = None
    parked: bool = False
    provider: str | None = None
    provider_message_id: str | None = None
    failure_class: FailureClass | None = None
    failure_reason: str | None = None


class Settled(msgspec.Struct, frozen=True):
    """A result that is in the ledger."""

    sequence: int
    at: datetime


class Store:
    """Reads and writes the rows this process dispatches.

    ``owner`` is unique to the process and its life: a lease with this name is nobody
    else's, so what an unanswered claim committed can be taken back.

    A statement that is not answered within ``patience_seconds`` is given up by hanging up,
    which needs no answer: a host that vanished keeps no connection of the pool.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        lease_seconds: float,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._patience_seconds = patience_seconds

    async def _fetch(self, statement: str, *args: object) -> list[asyncpg.Record]:
        return await self._ledger.fetch_within(self._patience_seconds, statement, *args)

    async def claim(self, ids: Sequence[UUID]) -> list[Claim]:
        """Lease what may be sent now."""
        return _claims(
            await self._fetch(statements.claim, ids, self._lease_seconds, self._owner)
        )

    async def claim_suspects(
        self, ids: Sequence[UUID], weights: Sequence[int], room: int
    ) -> list[Claim]:
        """Lease what lost its dispatcher before, as much as there is room for.

        ``weights`` is what one takes of the room that has lost 1, 2, … dispatchers; one that
        has lost more than that is left to be given up.
        """
        return _claims(
            await self._fetch(
                statements.claim_suspects,
                ids,
                self._lease_seconds,
                self._owner,
                weights,
                room,
            )
        )

    async def adopt(self, ids: Sequence[UUID]) -> list[Claim]:
        """Return claims of this process that were committed and never answered.

        The caller leaves out the ids it knows it holds.
        """
        return _claims(
            await self._fetch(statements.adopt, ids, self._lease_seconds, self._owner)
        )

    async def look(self, ids: Sequence[UUID]) -> list[Sighting]:
        """Say why rows were not claimed; what is missing is no notification."""
        rows = await self._fetch(statements.look, ids)
        return [
            Sighting(row["id"], Status(row["status"]), *tuple(row)[2:]) for row in rows
        ]

    async def give_up(self, ids: Sequence[UUID]) -> list[StatusChanged]:
        """Fail what has expired or has no attempt left; return what was failed."""
        rows = await self._fetch(statements.give_up, ids)
        return [
            StatusChanged(
                notification_id=row["id"],
                tenant=row["tenant"],
                channel=_CHANNELS[row["channel"]],
                priority=_PRIORITIES[row["priority"]],
                status=Status.FAILED,
                attempts=row["attempts"],
                sequence=row["sequence"],
                at=row["updated_at"],
                correlation_id=row["correlation_id"],
                batch_id=row["batch_id"],
                failure_class=FailureClass(row["failure_class"]),
                provider=row["provider"],
            )
            for row in rows
        ]

    async def settle(
        self, results: Sequence[Result]
    ) -> dict[tuple[UUID, int], Settled]:
        """Write results whose claims still stand; return those, by id and fence."""
        rows = await self._fetch(
            statements.settle,
            [r.id for r in results],
            [r.fence for r in results],
            [r.status for r in results],
            [r.spared for r in results],
            [r.retry_at for r in results],
            [r.parked for r in results],
            [r.provider for r in results],
            [r.provider_message_id for r in results],
            [r.failure_class for r in results],
            [r.failure_reason for r in results],
            [r.details for r in results],
        )
        return _settled(rows)

    async def record_late(
        self, results: Sequence[Result]
    ) -> dict[tuple[UUID, int], Settled]:
        """Trace results whose lease was lost; return those that had been written after all."""
        rows = await self._fetch(
            statements.record_late,
            [r.id for r in results],
            [r.fence for r in results],
            [r.status for r in results],
            [r.details for r in results],
        )
        return _settled(rows)

    async def renew(
        self, ids: Sequence[UUID], fences: Sequence[int], within_seconds: float
    ) -> set[tuple[UUID, int]]:
        """Extend leases, and return the ids and fences that are still ours.

        Raises ``TimeoutError`` after ``within_seconds`` without an answer.
        """
        rows = await self._ledger.fetch_within(
            min(within_seconds, self._patience_seconds),
            statements.renew,
            *(ids, fences, self._lease_seconds),
        )
        return {(row["id"], row["sequence"]) for row in rows}


def _claims(rows: Sequence[asyncpg.Record]) -> list[Claim]:
    claims = []
    for row in rows:
        (id_, fence, attempts, most, tenant, channel, priority, *rest) = row.values()
        claims.append(
            Claim(
                id_,
                fence,
                attempts,
                most,
                tenant,
                _CHANNELS[channel],
                _PRIORITIES[priority],
                *rest,
            )
        )
    return claims


def _settled(rows: Sequence[asyncpg.Record]) -> dict[tuple[UUID, int], Settled]:
    return {
        (row["id"], row["sequence"] - 1): Settled(row["sequence"], row["updated_at"])
        for row in rows
    }
