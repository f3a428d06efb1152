"""The connection to the ledger: one pool, shared by Piccolo and by set-based SQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import backoff
from asyncpg.pool import PoolConnectionProxy
from piccolo.engine.postgres import PostgresEngine

from contracts import tables
from contracts.settings import MeshSettings

#: Quoted: the class takes no parameter at run time.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

#: What the ledger raises when it is away, restarting or overwhelmed: the statement may be
#: tried again. Its outcome is unknown when the connection broke under it.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # A connection that the server has given notice of its end, and not yet ended.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)

#: Two statements over the same rows took their locks in different orders; nothing was done.
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

_STATEMENT_TIMEOUT_SECONDS = 15.0


class Ledger:
    """One pool of connections. It opens without a server and connects when first used."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Return the pool for statements of a ``store.sql``."""
        pool: asyncpg.Pool[asyncpg.Record] | None = self._engine.pool
        assert pool is not None, "the ledger is closed"
        return pool

    async def fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        """Run one statement in its own transaction, again when it collided with another."""
        return await _again_when_collided(lambda: self.pool.fetch(statement, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection with an open transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    async def check(self) -> None:
        """Raise what keeps the ledger from answering within a second."""
        async with asyncio.timeout(1.0):
            await self.pool.fetchval("SELECT 1")


@backoff.on_exception(backoff.expo, COLLIDED, max_tries=5, factor=0.02, logger=None)
async def _again_when_collided(
    run: Callable[[], Coroutine[Any, Any, list[asyncpg.Record]]],
) -> list[asyncpg.Record]:
    return await run()


async def _leave(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return a connection as it is: no statement of ours changes its session.

    asyncpg would reset it with a statement of its own, a second round trip for each of ours.
    """


@asynccontextmanager
async def open_ledger(settings: MeshSettings) -> AsyncIterator[Ledger]:
    """Open the pool and let the declared tables use it."""
    engine = tables.LedgerEngine(str(settings.postgres_dsn))
    await engine.start_connection_pool(
        min_size=0,
        max_size=settings.postgres_pool_size,
        command_timeout=_STATEMENT_TIMEOUT_SECONDS,
        timeout=3.0,
        reset=_leave,
    )
    for table in tables.TABLES:
        table._meta.db = engine  # noqa: SLF001 (Piccolo offers no public way to bind an engine)
    try:
        yield Ledger(engine)
    finally:
        pool = engine.pool
        assert pool is not None
        try:
            async with asyncio.timeout(3.0):
                await pool.close()
        except TimeoutError:
            pool.terminate()
        engine.pool = None
