"""The locks that give each job to one process, on a connection of their own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog
from prometheus_client import Gauge

from ops.runtime import ledger
from ops.runtime.absence import Absence
from scheduler.jobs import JobName
from scheduler.store import STATEMENTS

log = structlog.stdlib.get_logger()

_TIMEOUT_SECONDS = 3.0
_PROOF_SECONDS = 2.0
_AWAY_SECONDS = 1.0

#: A holder whose process hangs keeps its connection: the server ends a session that says
#: nothing for this long. One that lives speaks every two seconds.
_SILENCE_SECONDS = 10.0

#: A holder whose machine is gone says no goodbye: the server asks after it, and frees its
#: locks about ten seconds later.
_SESSION = {
    "application_name": "tocsin-scheduler-locks",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class Locks:
    """The jobs this process holds. They live and die with one session of the ledger.

    The address must lead to Postgres itself, or to a pooler that pools sessions. Every process
    asks after its session again and again, whichever jobs it has, and so ``absence`` hears of
    each outage.
    """

    def __init__(
        self,
        dsn: str,
        gauge: Gauge,
        absence: Absence,
        *,
        silence_seconds: float = _SILENCE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._absence = absence
        silence_ms = round(silence_seconds * 1000)
        self._session = {**_SESSION, "idle_session_timeout": str(silence_ms)}
        self._gauge = gauge
        self._connection: asyncpg.Connection | None = None
        self._proven_at = 0.0
        self._away_until = 0.0
        self._held: set[JobName] = set()
        self._turn = asyncio.Lock()
        for job in JobName:
            gauge.labels(job=job).set(0)

    @property
    def held(self) -> frozenset[JobName]:
        """Return the jobs of this process, as far as it knows."""
        return frozenset(self._held)

    async def hold(self, job: JobName) -> bool:
        """Say whether this process holds a job, taking it if it is free.

        The session was alive at most two seconds ago when the answer is yes. Raises what the
        ledger raises when it is away; every job is lost then.
        """
        async with self._turn:
            with self._absence.watched(time.monotonic()):
                connection = await self._live_connection()
            if job not in self._held and await connection.fetchval(
                STATEMENTS.try_lock, job
            ):
                self._held.add(job)
                self._gauge.labels(job=job).set(1)
                log.info("job.taken", job=job)
            return job in self._held

    async def _live_connection(self) -> asyncpg.Connection:
        connection = self._connection
        if connection is None:
            connection = self._connection = await self._connect()
        elif time.monotonic() - self._proven_at < _PROOF_SECONDS:
            return connection
        else:
            try:
                await connection.execute(STATEMENTS.ask)
            except ledger.AWAY:
                connection.terminate()
                self._lost(connection)
                raise
        self._proven_at = time.monotonic()
        return connection

    async def _connect(self) -> asyncpg.Connection:
        # Every job asks in turn: one of them waits for a server that is away, not each.
        if time.monotonic() < self._away_until:
            raise ConnectionError("the ledger was away a moment ago")
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=_TIMEOUT_SECONDS,
                command_timeout=_TIMEOUT_SECONDS,
                server_settings=self._session,
            )
        except ledger.AWAY:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise
        connection.add_termination_listener(self._lost)
        return connection

    def _lost(self, connection: object) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if self._held:
            log.warning("job.locks_lost", jobs=sorted(self._held))
        self._let_go()

    def _let_go(self) -> None:
        for job in self._held:
            self._gauge.labels(job=job).set(0)
        self._held.clear()

    async def close(self) -> None:
        """Give every job to whoever wants it."""
        connection, self._connection = self._connection, None
        self._let_go()
        if connection is not None:
            with suppress(*ledger.AWAY):
                await connection.close(timeout=_TIMEOUT_SECONDS)


@asynccontextmanager
async def open_locks(dsn: str, gauge: Gauge, absence: Absence) -> AsyncIterator[Locks]:
    """Lend the locks of this process; it lets go of all of them at the end."""
    locks = Locks(dsn, gauge, absence)
    try:
        yield locks
    finally:
        await locks.close()
