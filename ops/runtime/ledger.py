"""The connection to the ledger: one pool, shared by Piccolo and by set-based SQL."""

import asyncio
import weakref
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


class LedgerKnownAway(ConnectionError):
    """The ledger did not answer a moment ago, and was not asked again."""


class Ledger:
    """One pool of connections. It opens without a server and connects when first used.

    Where somebody keeps an eye on it (``ops.runtime.ledger_watch``), what is asked while it
    is away fails at once instead of waiting for a server that may be frozen.
    """

    def __init__(self, engine: PostgresEngine, connections: "_Connections") -> None:
        self._engine = engine
        self._connections = connections
        self._waiting: set[asyncio.Timeout] = set()  #: for a connection
        self.is_away = False

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Return the pool for statements of a ``store.sql``."""
        pool: asyncpg.Pool[asyncpg.Record] | None = self._engine.pool
        assert pool is not None, "the ledger is closed"
        return pool

    async def fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        """Run one statement in its own transaction, again when it collided with another."""
        return await _again_when_collided(lambda: self._fetch(statement, *args))

    async def _fetch(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        async with self._lend() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *args)
            return rows

    async def fetch_within(
        self, seconds: float, statement: str, *args: Any
    ) -> list[asyncpg.Record]:
        """Run one statement like ``fetch``, and give it up after so many seconds.

        To cancel a statement one has to ask the server, and a frozen one does not answer;
        to hang up one asks nobody. Raises TimeoutError then, and the server may still carry
        out what it was given.
        """
        return await _again_when_collided(
            lambda: self._fetch_within(seconds, statement, *args)
        )

    async def _fetch_within(
        self, seconds: float, statement: str, *args: Any
    ) -> list[asyncpg.Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with self._lend(seconds) as connection:
            end = loop.call_at(deadline, connection.terminate)
            try:
                rows: list[asyncpg.Record] = await connection.fetch(statement, *args)
            except AWAY as error:
                if loop.time() >= end.when():
                    raise TimeoutError from error
                raise
            finally:
                end.cancel()
            return rows

    def hang_up(self) -> None:
        """Break every connection, so that whoever waits for an answer or one is told at once."""
        for connection in list(self._connections):
            connection.terminate()
        now = asyncio.get_running_loop().time()
        for patience in self._waiting:
            if not patience.expired():
                patience.reschedule(now)

    def _refuse_while_away(self) -> None:
        if self.is_away:
            raise LedgerKnownAway("the ledger is away")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection with an open transaction."""
        async with self._lend() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _lend(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection, to be had within so many seconds.

        The pool itself has no end of patience: it waits for a connection of others, then for
        a server that may be frozen.
        """
        self._refuse_while_away()
        async with asyncio.timeout(seconds) as patience:
            self._waiting.add(patience)
            try:
                connection = await self.pool.acquire()
            finally:
                self._waiting.discard(patience)
        try:
            yield connection
        finally:
            await self.pool.release(connection)

    async def check(self) -> None:
        """Raise what keeps the ledger from answering within a second."""
        async with asyncio.timeout(1.0):
            await self.pool.fetchval("SELECT 1")


@backoff.on_exception(backoff.expo, COLLIDED, max_tries=5, factor=0.02, logger=None)
async def _again_when_collided(
    run: Callable[[], Coroutine[Any, Any, list[asyncpg.Record]]],
) -> list[asyncpg.Record]:
    return await run()


class _Connections(weakref.WeakSet["asyncpg.Connection[asyncpg.Record]"]):
    """The connections of a pool; those that are closed may be among them."""

    async def took(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Note a new one."""
        self.add(connection)


async def _leave(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return a connection as it is: no statement of ours changes its session.

    asyncpg would reset it with a statement of its own, a second round trip for each of ours.
    """


@asynccontextmanager
async def open_ledger(settings: MeshSettings) -> AsyncIterator[Ledger]:
    """Open the pool and let the declared tables use it."""
    engine = tables.LedgerEngine(str(settings.postgres_dsn))
    connections = _Connections()
    await engine.start_connection_pool(
        min_size=0,
        max_size=settings.postgres_pool_size,
        command_timeout=_STATEMENT_TIMEOUT_SECONDS,
        timeout=3.0,
        init=connections.took,
        reset=_leave,
    )
    for table in tables.TABLES:
        table._meta.db = engine  # noqa: SLF001 (Piccolo offers no public way to bind an engine)
    try:
        yield Ledger(engine, connections)
    finally:
        pool = engine.pool
        assert pool is not None
        try:
            async with asyncio.timeout(3.0):
                await pool.close()
        except TimeoutError:
            pool.terminate()
        engine.pool = None
