"""Rows of the ledger, made with defaults that a test changes where it matters."""

from datetime import UTC, datetime
from typing import Any, TypeAlias

import asyncpg

from contracts.ids import new_id
from contracts.lifecycle import Status
from ops.runtime.ledger import Connection

Executor: TypeAlias = "asyncpg.Connection[Any] | asyncpg.Pool[Any] | Connection"


def notification(**changes: Any) -> dict[str, Any]:
    """Make the columns of one notification: queued on sms/normal unless told otherwise."""
    now = datetime.now(UTC)
    row = {
        "id": new_id(),
        "tenant": "default",
        "channel": "sms",
        "priority": "normal",
        "status": Status.QUEUED,
        "sequence": 2,
        "max_attempts": 5,
        "recipient": "+15555550001",
        "content": "hello",
        "correlation_id": "test",
        "queued_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return {**row, **changes}


def dead_letter(**changes: Any) -> dict[str, Any]:
    """Make the columns of one dead letter, on sms/low and permanent unless told otherwise."""
    row = {
        "notification_id": new_id(),
        "sequence": 4,
        "tenant": "default",
        "channel": "sms",
        "priority": "low",
        "attempts": 5,
        "failure_class": "permanent",
        "reason": "no such number",
        "created_at": datetime.now(UTC),
    }
    return {**row, **changes}


async def insert(
    executor: Executor, table: str = "notification", **columns: Any
) -> None:
    """Insert one row as it is."""
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    await executor.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
        *columns.values(),
    )
