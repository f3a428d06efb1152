"""Dead letters and operations in the ledger; the SQL is in ``letter_store.sql``."""

from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from contracts.operations import LetterFilter, OperationKind
from gateway.letter_views import (
    LetterGroup,
    LetterView,
    OperationView,
    Refused,
)
from gateway.store import TenantStore
from ops.runtime.ledger import Connection, Ledger
from ops.runtime.sql import Statements

SQL = Statements(Path(__file__).with_name("letter_store.sql"))


class LetterStore:
    """Dead letters and operations of everyone; each is seen as its tenant."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of(self, tenant: str) -> "TenantLetterStore":
        """Return what one tenant may see."""
        return TenantLetterStore(self._ledger, tenant)

    def within(self, transaction: TenantStore) -> "TenantLetterStore":
        """Return what the tenant of an open transaction may see, working in it."""
        return TenantLetterStore(
            self._ledger, transaction.tenant, transaction.connection
        )


class TenantLetterStore:
    """What one tenant's operators see and ask for.

    Every statement has the tenant as its first parameter.
    """

    def __init__(
        self, ledger: Ledger, tenant: str, connection: "Connection | None" = None
    ) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._connection = connection

    async def letters(
        self,
        which: LetterFilter,
        before: UUID,
        limit: int,
        state: str | None,
    ) -> list[LetterView]:
        """Return the newest dead letters with ids below one; a state of None is any."""
        rows = await self._fetch(
            SQL.list_letters, *which.parameters, before, limit, state
        )
        return [LetterView(**row) for row in rows]

    async def groups(self, which: LetterFilter, limit: int) -> list[LetterGroup]:
        """Return the open ones, counted by channel, class and reason."""
        rows = await self._fetch(SQL.group_letters, *which.parameters, limit)
        return [LetterGroup(**row) for row in rows]

    async def count(self, which: LetterFilter) -> tuple[int, Refused]:
        """Count the open ones, and those of them that a replay would leave as they are."""
        [row] = await self._fetch(SQL.count_letters, *which.parameters)
        refused = Refused(
            expired=row["expired"], redacted=row["redacted"], gone=row["gone"]
        )
        return row["total"], refused

    async def begin(
        self,
        which: LetterFilter,
        *,
        id_: UUID,
        kind: OperationKind,
        who: str,
        reason: str,
        rate_per_second: float | None,
    ) -> OperationView:
        """Have the scheduler do something with the open ones of this moment."""
        [row] = await self._fetch(
            SQL.begin_letters,
            *which.parameters,
            id_,
            kind,
            who,
            reason,
            msgspec.json.encode(which).decode(),
            rate_per_second,
        )
        return _operation(row)

    async def count_recipient(self, recipient: str) -> int:
        """Count the notifications of a recipient."""
        [row] = await self._fetch(SQL.count_of_recipient, recipient)
        return int(row["total"])

    async def begin_erasure(
        self, recipient: str, *, id_: UUID, who: str, reason: str
    ) -> OperationView:
        """Have the scheduler take a recipient out of the ledger."""
        [row] = await self._fetch(SQL.begin_erasure, recipient, id_, who, reason)
        return _operation(row)

    async def operations(self, limit: int) -> list[OperationView]:
        """Return the newest operations."""
        rows = await self._fetch(SQL.list_operations, limit)
        return [_operation(row) for row in rows]

    async def operation(self, id_: UUID, *, erasure: bool) -> OperationView | None:
        """Return one, or None when the tenant has none of this sort with this id."""
        rows = await self._fetch(SQL.find_operation, id_, erasure)
        return _operation(rows[0]) if rows else None

    async def stop(self, id_: UUID, *, erasure: bool) -> bool:
        """Stop one and say whether it ran; the page in hand is finished first."""
        return bool(await self._fetch(SQL.stop_operation, id_, erasure))

    async def _fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        if self._connection is None:
            return await self._ledger.fetch(statement, self._tenant, *args)
        return await self._connection.fetch(statement, self._tenant, *args)


def _operation(row: asyncpg.Record) -> OperationView:
    fields: dict[str, Any] = {
        name: row[name] for name in OperationView.__struct_fields__
    }
    fields["filter"] = msgspec.Raw(row["filter"].encode())
    return OperationView(**fields)
