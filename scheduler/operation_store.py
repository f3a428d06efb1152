"""What operations ask of the ledger; the SQL is in ``operation_store.sql``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from contracts.ids import new_id
from contracts.messages import StatusChanged
from contracts.operations import LetterFilter, OperationKind
from ops.runtime.ledger import Connection, Ledger
from ops.runtime.sql import Statements
from scheduler.rows import Group
from scheduler.store import change_of, group_of

SQL = Statements(Path(__file__).with_name("operation_store.sql"))


class Operation(NamedTuple):
    """An operation whose turn it is."""

    id: UUID
    tenant: str
    kind: OperationKind
    who: str
    reason: str
    filter: LetterFilter
    target: str | None
    rate_per_second: float | None
    reached: UUID
    until: UUID


class Page(NamedTuple):
    """What was done to a page of dead letters."""

    letters: list[UUID]  #: all that were looked at, in order
    group: Group  #: what goes on the bus
    changes: list[StatusChanged]
    done: int


class Turn:
    """One operation under its lock; what is done to it commits together, at the end."""

    def __init__(self, connection: Connection, operation: Operation) -> None:
        self._connection = connection
        self.operation = operation

    async def replay(self, limit: int) -> Page:
        """Queue the next failed notifications again."""
        group_id = new_id()
        operation = self.operation
        rows = await self._connection.fetch(
            SQL.replay_page,
            *self._letters(limit),
            operation.id,
            operation.who,
            operation.reason,
            group_id,
        )
        queued = [row for row in rows if row["id"] is not None]
        return Page(
            letters=[row["letter_id"] for row in rows],
            group=group_of(group_id, queued),
            changes=[change_of(row) for row in queued],
            done=len(queued),
        )

    async def discard(self, limit: int) -> Page:
        """Put the next dead letters away."""
        operation = self.operation
        rows = await self._connection.fetch(
            SQL.discard_page,
            *self._letters(limit),
            operation.who,
            operation.reason,
            operation.id,
        )
        ids = sorted(row["id"] for row in rows)
        return Page(ids, group_of(operation.id, ()), [], len(ids))

    async def erase(self, recipient: str, limit: int) -> Page:
        """Take a recipient out of their next notifications."""
        operation = self.operation
        rows = await self._connection.fetch(
            SQL.erase_page,
            operation.tenant,
            recipient,
            _as_json(recipient),
            operation.until,
            limit,
            operation.id,
            operation.who,
        )
        cancelled = [row for row in rows if row["was"] != row["status"]]
        changes = [change_of(row) for row in cancelled]
        return Page([], group_of(operation.id, ()), changes, len(rows))

    async def is_left(self, recipient: str) -> bool:
        """Say whether a notification of a recipient is still there."""
        operation = self.operation
        left: bool = await self._connection.fetchval(
            SQL.left_to_erase, operation.tenant, recipient, operation.until
        )
        return left

    async def erase_answers(self, recipient: str, limit: int) -> UUID | None:
        """Take a recipient out of the next answers; returns the last, None after the last."""
        operation = self.operation
        last: UUID | None = await self._connection.fetchval(
            SQL.erase_answers,
            operation.tenant,
            recipient,
            _as_json(recipient),
            operation.reached,
            limit,
        )
        return last

    async def advance(
        self, *, done: int, refused: int, reached: UUID, pause_seconds: float
    ) -> None:
        """Note what was done, and that it may go on after a pause."""
        await self._connection.execute(
            SQL.advance, self.operation.id, done, refused, reached, pause_seconds
        )

    async def finish(self) -> None:
        """Note that nothing is left to do."""
        await self._connection.execute(SQL.finish, self.operation.id)

    def _letters(self, limit: int) -> tuple[Any, ...]:
        operation = self.operation
        parameters = operation.filter.parameters
        return (
            operation.tenant,
            *parameters,
            operation.reached,
            operation.until,
            limit,
        )


class OperationStore:
    """The operations of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn | None]:
        """Lend the operation that has waited longest for its turn, None when none may go on."""
        async with self._ledger.transaction() as connection:
            row = await connection.fetchrow(SQL.next_operation)
            yield None if row is None else Turn(connection, _operation(row))

    async def seconds_to_next(self) -> float | None:
        """Return when one may go on; None when there is none."""
        [row] = await self._ledger.fetch(SQL.next_ready)
        seconds: float | None = row[0]
        return seconds


def _operation(row: Any) -> Operation:
    fields = {name: row[name] for name in Operation._fields}
    fields["kind"] = OperationKind(row["kind"])
    fields["filter"] = msgspec.json.decode(row["filter"], type=LetterFilter)
    return Operation(**fields)


def _as_json(text: str) -> str:
    """Write a text as it stands inside a JSON string."""
    return msgspec.json.encode(text)[1:-1].decode()
