"""Keeps the ledger from committing, so that a test can look at what happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ops.runtime.ledger import Ledger
from tests.servers import Stack
from tests.waiting import until


class Blocked:
    """A ledger in which no notification can be stored."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def somebody_waits(self) -> None:
        """Return when a statement is stuck."""
        await until(lambda: self._waiting())

    async def _waiting(self) -> int:
        count = await self._connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(count)

    async def break_connections(self) -> None:
        """Cut off every statement that is stuck, as a failover would."""
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )


@asynccontextmanager
async def blocked_ledger(dsn: str) -> AsyncIterator[Blocked]:
    """Let statements that store notifications wait until the block is left."""
    holder = await asyncpg.connect(dsn)
    # within one transaction, Postgres answers every look at its activity like the first
    watcher = await asyncpg.connect(dsn)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE notification IN EXCLUSIVE MODE")
            yield Blocked(watcher)
    finally:
        await holder.close()
        await watcher.close()


async def is_waiting(task: "asyncio.Future[Any]") -> bool:
    """Let everything run that can, and say whether the task still waits."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not task.done()


@asynccontextmanager
async def blocked_audit(dsn: str, statement: str) -> AsyncIterator[Blocked]:
    """Let every INSERT into the audit, or every UPDATE, wait until the block is left."""
    holder = await asyncpg.connect(dsn)
    watcher = await asyncpg.connect(dsn)
    try:
        await holder.execute(
            "CREATE OR REPLACE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$;"
            f"CREATE TRIGGER wait_here BEFORE {statement} ON audit"
            " FOR EACH ROW EXECUTE FUNCTION wait_here();"
            "SELECT pg_advisory_lock(77)"
        )
        yield Blocked(watcher)
    finally:
        await holder.close()  # and with it, the lock
        await watcher.close()


@asynccontextmanager
async def closed_to_everyone(servers: Stack, ledger: Ledger) -> AsyncIterator[None]:
    """Let nobody into the ledger, as if its server were away."""
    name = await ledger.pool.fetchval("SELECT current_database()")
    elsewhere = await asyncpg.connect(servers.postgres_dsn)
    try:
        await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await elsewhere.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
            name,
        )
        yield
        await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await elsewhere.close()
