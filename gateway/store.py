"""The gateway's view of the ledger.

Whatever belongs to a tenant is read through a ``TenantStore``, which binds its tenant to
every statement; the rest (committing groups, finding the owner of a key) is ``Store``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.keys import Role
from contracts.lifecycle import Status
from gateway.submissions import NewBatch, NewNotification, Reservation, Submission
from gateway.views import (
    BatchView,
    NotificationView,
    StatusView,
    Trace,
    TraceEntry,
)
from ops.runtime import ledger as runtime_ledger
from ops.runtime.ledger import Ledger
from ops.runtime.sql import Statements

SQL = Statements(Path(__file__).with_name("store.sql"))

#: The ledger does not answer, or not now: it is away, a replica, out of room, not migrated.
#: Whether a statement under way was committed may be unknown. Any other error is the
#: fault of the rows or of ours, and comes again with the same rows.
UNAVAILABLE: tuple[type[Exception], ...] = (
    *runtime_ledger.AWAY,
    *runtime_ledger.COLLIDED,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
)

_NO_DETAILS = msgspec.Raw(b"{}")


def facts_of(error: Exception) -> dict[str, Any]:
    """Say what went wrong for a log: never in the error's words, which may quote a row."""
    facts: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, asyncpg.PostgresError):
        facts["sqlstate"] = error.sqlstate
        facts["constraint"] = getattr(error, "constraint_name", None)
    else:
        facts["exc_info"] = error
    return facts


class KeyHolder(NamedTuple):
    """Whose key it is."""

    tenant: str
    role: Role


class StoredAnswer(NamedTuple):
    """What an idempotency key has been answered."""

    body_hash: bytes
    response: bytes
    correlation_id: str


class Store:
    """What is committed and read on behalf of the gateway itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of(self, tenant: str) -> "TenantStore":
        """Return what one tenant may see."""
        return TenantStore(self._ledger, tenant)

    async def commit_group(
        self,
        group_id: UUID,
        confirmed: Sequence[UUID],
        now: datetime,
        submissions: Sequence[Submission],
    ) -> frozenset[UUID]:
        """Commit all submissions but those whose reservation is lost.

        Returns the resources of the reservations that were won. Removes the ``confirmed`` outbox groups in the same transaction.
        """
        reservations = [s.reservation for s in submissions if s.reservation is not None]
        batches = [s.batch for s in submissions if s.batch is not None]
        notifications = [n for s in submissions for n in s.notifications]
        rows = await self._ledger.fetch(
            SQL.commit_group,
            group_id,
            confirmed,
            now,
            *_columns(reservations, len(Reservation._fields)),
            *_columns(notifications, len(NewNotification._fields)),
            *_columns(batches, len(NewBatch._fields)),
        )
        return frozenset(row["resource_id"] for row in rows)

    async def forget_groups(self, group_ids: Sequence[UUID]) -> None:
        """Remove outbox groups that the bus has confirmed."""
        await self._ledger.fetch(SQL.forget_groups, group_ids)

    async def find_key(self, secret_hash: bytes) -> KeyHolder | None:
        """Return whose key it is, or None when it may not be used (any more)."""
        rows = await self._ledger.fetch(SQL.find_key, secret_hash)
        return KeyHolder(rows[0]["tenant"], Role(rows[0]["role"])) if rows else None


class TenantStore:
    """What one tenant may see. Every statement has the tenant as its first parameter."""

    def __init__(self, ledger: Ledger, tenant: str) -> None:
        self._ledger = ledger
        self._tenant = tenant

    async def notification(self, id_: UUID) -> NotificationView | None:
        """Return one notification, or None when the tenant has none with this id."""
        rows = await self._fetch(SQL.find_notification, id_)
        return _notification(rows[0]) if rows else None

    async def batch(self, id_: UUID) -> BatchView | None:
        """Return a batch with all its members, or None when the tenant has none."""
        batches = await self._fetch(SQL.find_batch, id_)
        if not batches:
            return None
        batch = batches[0]
        rows = await self._fetch(SQL.find_batch_members, id_, batch["last_id"])
        members = [_notification(row) for row in rows]
        counted = Counter(member.status for member in members)
        return BatchView(
            id=batch["id"],
            size=batch["size"],
            correlation_id=batch["correlation_id"],
            created_at=batch["created_at"],
            counts={status: counted[status] for status in Status},
            notifications=members,
        )

    async def trace(self, id_: UUID) -> Trace | None:
        """Return the trace of a notification, or None when the tenant has none."""
        rows = await self._fetch(SQL.find_trace, id_)
        if not rows:
            return None
        return Trace(
            notification_id=id_,
            entries=[_trace_entry(row) for row in rows if row["id"] is not None],
        )

    async def member_ids(self, batch_id: UUID) -> list[UUID] | None:
        """Return the ids of a batch in their order, or None when the tenant has none."""
        batches = await self._fetch(SQL.find_batch, batch_id)
        if not batches:
            return None
        rows = await self._fetch(SQL.find_member_ids, batch_id, batches[0]["last_id"])
        return [row["id"] for row in rows]

    async def standings(self, ids: Sequence[UUID]) -> list[StatusView]:
        """Return where notifications stand; what the tenant does not have is left out."""
        rows = await self._fetch(SQL.find_standings, ids)
        return [_status(row) for row in rows]

    async def changes_after(
        self, ids: Sequence[UUID], sequences: Sequence[int]
    ) -> list[StatusView]:
        """Return every later change of status of each notification, oldest first."""
        rows = await self._fetch(SQL.find_changes_after, ids, sequences)
        return [_status(row) for row in rows]

    async def answer(self, endpoint: str, key: str) -> StoredAnswer | None:
        """Return what an idempotency key of this tenant has been answered."""
        rows = await self._fetch(SQL.find_answer, endpoint, key)
        return StoredAnswer(*rows[0]) if rows else None

    async def _fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        return await self._ledger.fetch(statement, self._tenant, *args)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Turn rows into one array a column, as ``unnest`` wants them."""
    return list(zip(*rows, strict=True)) or [()] * width


def _notification(row: asyncpg.Record) -> NotificationView:
    fields = dict(row)
    if (metadata := fields["metadata"]) is not None:
        fields["metadata"] = msgspec.Raw(metadata.encode())
    return NotificationView(**fields)


def _status(row: asyncpg.Record) -> StatusView:
    return StatusView(**{**row, "status": Status(row["status"])})


def _trace_entry(row: asyncpg.Record) -> TraceEntry:
    details = row["details"]
    return TraceEntry(
        id=row["id"],
        event=row["event"],
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
        details=_NO_DETAILS if details is None else msgspec.Raw(details.encode()),
    )
