"""The audit in the ledger; the SQL is in ``audit_store.sql``."""

from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.ids import new_id
from contracts.oversight import Action, AuditEntry, Effect, JobRun
from gateway.store import TenantStore
from ops.runtime.ledger import Connection, Ledger
from ops.runtime.sql import Statements

SQL = Statements(Path(__file__).with_name("audit_store.sql"))


class Deed(NamedTuple):
    """What is written down: who does what to what, and why."""

    tenant: str
    action: Action
    target: str
    who: str
    reason: str


class Loose(NamedTuple):
    """An entry that nobody works on any more."""

    entry: AuditEntry
    control_key: str
    revision: int


class AuditStore:
    """What operators did. Entries are only ever added, and settled once."""

    def __init__(self, ledger: Ledger, connection: "Connection | None" = None) -> None:
        self._ledger = ledger
        self._connection = connection

    def of(self, tenant: str) -> "TenantAuditStore":
        """Return what one tenant may see."""
        return TenantAuditStore(self._ledger, tenant)

    def within(self, transaction: TenantStore) -> "AuditStore":
        """Return the same store, working in an open transaction."""
        return AuditStore(self._ledger, transaction.connection)

    async def record(self, deed: Deed, details: dict[str, Any]) -> AuditEntry:
        """Write down what is done in this transaction."""
        [row] = await self._fetch(SQL.record, *_columns(deed), _json(details))
        return _entry(row)

    async def begin(
        self, deed: Deed, details: dict[str, Any], *, key: str, revision: int
    ) -> AuditEntry:
        """Write down that a control is about to be set over a revision of it."""
        [row] = await self._fetch(
            SQL.begin, *_columns(deed), _json(details), key, revision
        )
        return _entry(row)

    async def hold(self, id_: UUID) -> bool:
        """Keep others from settling an entry until this transaction ends."""
        return bool(await self._fetch(SQL.hold, id_))

    async def settle(
        self, id_: UUID, effect: Effect, details: dict[str, Any] | None = None
    ) -> AuditEntry | None:
        """Say what came of an entry; None when that was said already."""
        told = None if details is None else _json(details)
        rows = await self._fetch(SQL.settle, id_, effect, told)
        return _entry(rows[0]) if rows else None

    async def announced(self, id_: UUID) -> None:
        """Note that an entry was announced."""
        await self._fetch(SQL.announced, id_)

    async def runs(self, job: str | None, limit: int) -> list[JobRun]:
        """Return the newest runs of all jobs, or of one."""
        rows = await self._fetch(SQL.list_runs, job, limit)
        return [
            JobRun(**{**row, "why": msgspec.json.decode(row["why"])}) for row in rows
        ]

    async def _fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        if self._connection is None:
            return await self._ledger.fetch(statement, *args)
        return await self._connection.fetch(statement, *args)


class TenantAuditStore:
    """What one tenant may see of the audit."""

    def __init__(self, ledger: Ledger, tenant: str) -> None:
        self._ledger = ledger
        self._tenant = tenant

    async def entries(
        self, before: UUID, limit: int, action: str | None, *, of_everyone: bool
    ) -> list[AuditEntry]:
        """Return the newest entries with ids below one; of all tenants for the house."""
        rows = await self._ledger.fetch(
            SQL.list_entries, self._tenant, before, limit, action, of_everyone
        )
        return [_entry(row) for row in rows]


async def left_behind(
    connection: Connection, after_seconds: float, limit: int
) -> list[Loose]:
    """Return entries that nobody works on any more; they are this transaction's now."""
    rows = await connection.fetch(SQL.left_behind, after_seconds, limit)
    return [
        Loose(_entry(row), row["control_key"] or "", row["revision"] or 0)
        for row in rows
    ]


def _columns(deed: Deed) -> tuple[Any, ...]:
    return (deed.tenant, new_id(), deed.action, deed.target, deed.who, deed.reason)


def _json(details: dict[str, Any]) -> str:
    return msgspec.json.encode(details).decode()


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        action=row["action"],
        target=row["target"],
        who=row["who"],
        reason=row["reason"],
        at=row["at"],
        tenant=row["tenant"],
        effect=Effect(row["effect"]),
        details=msgspec.json.decode(row["details"]),
    )
