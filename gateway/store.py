"""The gateway's view of the ledger.

Whatever belongs to a tenant is read through a ``TenantStore``, which binds its tenant to
every statement; the rest (committing groups, finding the owner of a key) is ``Store``.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.channels import LANES, Channel
from contracts.keys import Role
from contracts.lifecycle import Status
from contracts.receipts import Receipt
from gateway.filters import Filters, Range
from gateway.submissions import (
    KeyOwner,
    NewBatch,
    NewNotification,
    Reservation,
    Submission,
)
from gateway.views import (
    BatchView,
    NotificationView,
    StatusView,
    TemplateView,
    Trace,
    TraceEntry,
)
from ops.runtime import ledger as runtime_ledger
from ops.runtime.ledger import Connection, Ledger
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

#: Of those, what no waiting mends: the ledger answers, and was never migrated.
MISSHAPEN: tuple[type[Exception], ...] = (asyncpg.UndefinedTableError,)

_SEARCH_SETTINGS = (
    "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = '3s'"
)

_SHOWN = NotificationView.__struct_fields__
_NO_DETAILS = msgspec.Raw(b"{}")
_decode_receipt = msgspec.json.Decoder(Receipt).decode


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
    who: str = ""  #: the key's name and id
    expires_at: datetime | None = None


class StoredAnswer(NamedTuple):
    """What an idempotency key has been answered."""

    body_hash: bytes
    response: bytes
    correlation_id: str


class Scanned(NamedTuple):
    """Part of a list, newest first."""

    items: list[NotificationView]
    horizon: UUID | None  #: how far was looked; None when that is the whole range


class Change(NamedTuple):
    """A notification that was changed, and the number of the change."""

    view: NotificationView
    sequence: int


class Deletion(NamedTuple):
    """What became of a deletion."""

    in_use: bool
    deleted: bool


class NameTaken(Exception):
    """Another template of the tenant has this name."""


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
        *,
        within_seconds: float,
    ) -> frozenset[UUID]:
        """Commit all submissions but those whose reservation is lost.

        Returns the resources of the reservations that were won. Removes the ``confirmed`` outbox groups in the same transaction.
        Raises TimeoutError when that takes longer; it may still be committed then.
        """
        reservations = [s.reservation for s in submissions if s.reservation is not None]
        batches = [s.batch for s in submissions if s.batch is not None]
        notifications = [n for s in submissions for n in s.notifications]
        rows = await self._ledger.fetch_within(
            within_seconds,
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
        if not rows:
            return None
        [row] = rows
        who = f"{row['name']} ({row['id']})"
        return KeyHolder(row["tenant"], Role(row["role"]), who, row["expires_at"])

    async def count_failed(self) -> int:
        """Return how many notifications of all tenants were given up in the last minute."""
        rows = await self._ledger.fetch(SQL.count_failed)
        return int(rows[0]["failed"])

    async def measure_latency(self, since: UUID, at_most: int) -> list[float] | None:
        """Return p50, p95 and p99 in seconds of recent deliveries, None without any.

        Looks at rows from ``since`` on, at twice ``at_most`` of them.
        """
        lanes = _columns(LANES, 2)
        rows = await self._ledger.fetch(SQL.measure_latency, since, at_most, *lanes)
        seconds: list[float] | None = rows[0]["seconds"]
        return seconds


class TenantStore:
    """What one tenant may see. Every statement has the tenant as its first parameter."""

    def __init__(
        self, ledger: Ledger, tenant: str, connection: "Connection | None" = None
    ) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._connection = connection

    @property
    def tenant(self) -> str:
        """Return whose store it is."""
        return self._tenant

    @property
    def connection(self) -> "Connection | None":
        """Return the connection whose transaction this store works in, if it does in one."""
        return self._connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["TenantStore"]:
        """Lend the same store with an open transaction: all it does commits together."""
        async with self._ledger.transaction() as connection:
            yield TenantStore(self._ledger, self._tenant, connection)

    @asynccontextmanager
    async def searching(self) -> AsyncIterator["TenantStore"]:
        """Lend the same store to look through much.

        Plans are made for the tenant and the range at hand: one that suits the average
        tenant reads everybody's rows to find that a small one has none. Past the timeout
        the ledger gives up, and so does the request.
        """
        async with self._ledger.transaction() as connection:
            await connection.execute(_SEARCH_SETTINGS)
            yield TenantStore(self._ledger, self._tenant, connection)

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
        rows = await self._fetch(SQL.find_answer, endpoint, key, datetime.now(UTC))
        return StoredAnswer(*rows[0]) if rows else None

    async def scan(
        self, filters: Filters, within: Range, *, rows_at_most: int, limit: int
    ) -> Scanned:
        """Return the newest notifications in a range of ids that pass the filters.

        Stops at ``limit`` of them or after ``rows_at_most`` rows, whichever comes first.
        """
        rows = await self._fetch(
            SQL.list_notifications,
            within.before,
            within.first,
            rows_at_most,
            limit,
            filters.status,
            filters.channel,
            filters.priority,
            filters.batch_id,
            filters.recipient,
            filters.correlation_id,
            filters.idempotency_key,
            filters.recipient_hash,
        )
        items = [_notification(row) for row in rows if row["id"] is not None]
        return Scanned(items, rows[0]["horizon"])

    async def keyed(
        self, endpoints: Sequence[str], key: str, limit: int
    ) -> list[NotificationView]:
        """Return what an idempotency key that is still remembered has made there."""
        rows = await self._fetch(SQL.find_keyed, endpoints, key, limit)
        return [_notification(row) for row in rows]

    async def batch_range(self, id_: UUID) -> Range | None:
        """Return where the members of a batch are, or None when the tenant has none."""
        rows = await self._fetch(SQL.find_batch, id_)
        if not rows:
            return None
        return Range(first=id_, before=UUID(int=rows[0]["last_id"].int + 1))

    async def cancel(self, id_: UUID) -> Change | None:
        """Cancel a notification, or return None when it may not be cancelled (any more)."""
        rows = await self._fetch(SQL.cancel, id_)
        return Change(_notification(rows[0]), rows[0]["sequence"]) if rows else None

    async def reserve(
        self,
        owner: KeyOwner,
        body_hash: bytes,
        correlation_id: str,
        expires_at: datetime,
    ) -> bool:
        """Take an idempotency key in this transaction; False when it has an answer."""
        rows = await self._fetch(
            SQL.reserve,
            owner.endpoint,
            owner.key,
            body_hash,
            correlation_id,
            expires_at,
        )
        return bool(rows)

    async def remember(
        self, owner: KeyOwner, response: bytes, correlation_id: str
    ) -> None:
        """Keep the answer to a key that this transaction has taken."""
        await self._fetch(
            SQL.remember, owner.endpoint, owner.key, response, correlation_id
        )

    async def create_template(
        self, id_: UUID, name: str, channel: Channel, body: str, subject: str | None
    ) -> TemplateView | None:
        """Keep a new template, or return None when the name is taken."""
        rows = await self._fetch(SQL.create_template, id_, name, channel, body, subject)
        return TemplateView(**rows[0]) if rows else None

    async def list_templates(self, before: UUID, limit: int) -> list[TemplateView]:
        """Return templates with ids before one, newest first."""
        rows = await self._fetch(SQL.list_templates, before, limit)
        return [TemplateView(**row) for row in rows]

    async def find_templates(self, ids: Iterable[UUID]) -> list[TemplateView]:
        """Return those of the templates that the tenant has."""
        rows = await self._fetch(SQL.find_templates, list(ids))
        return [TemplateView(**row) for row in rows]

    async def replace_template(
        self, id_: UUID, name: str, channel: Channel, body: str, subject: str | None
    ) -> TemplateView | None:
        """Replace a template, or return None when the tenant has none with this id.

        Raises ``NameTaken`` when another one has the name.
        """
        try:
            rows = await self._fetch(
                SQL.replace_template, id_, name, channel, body, subject
            )
        except asyncpg.UniqueViolationError as error:
            raise NameTaken from error
        return TemplateView(**rows[0]) if rows else None

    async def delete_template(self, id_: UUID) -> Deletion:
        """Delete a template that no waiting notification was made from."""
        rows = await self._fetch(SQL.delete_template, id_)
        return Deletion(rows[0]["used"], rows[0]["deleted"])

    async def _fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        if self._connection is None:
            return await self._ledger.fetch(statement, self._tenant, *args)
        return await self._connection.fetch(statement, self._tenant, *args)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Turn rows into one array a column, as ``unnest`` wants them."""
    return list(zip(*rows, strict=True)) or [()] * width


def _notification(row: asyncpg.Record) -> NotificationView:
    fields = {name: row[name] for name in _SHOWN}
    if (metadata := fields["metadata"]) is not None:
        fields["metadata"] = msgspec.Raw(metadata.encode())
    if (receipt := fields["receipt"]) is not None:
        fields["receipt"] = _decode_receipt(receipt)
    return NotificationView(**fields)


def _status(row: asyncpg.Record) -> StatusView:
    fields = {**row, "status": Status(row["status"])}
    if (receipt := fields.get("receipt")) is not None:
        fields["receipt"] = _decode_receipt(receipt)
    return StatusView(**fields)


def _trace_entry(row: asyncpg.Record) -> TraceEntry:
    details = row["details"]
    return TraceEntry(
        id=row["id"],
        event=row["event"],
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
        details=_NO_DETAILS if details is None else msgspec.Raw(details.encode()),
    )
