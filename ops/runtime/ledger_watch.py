"""Finds out within two seconds that the ledger went away, and that it is back."""

import asyncio
import time

import asyncpg
import structlog

from ops.runtime import ledger as runtime_ledger
from ops.runtime.ledger import Ledger, LedgerKnownAway
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

_PERIOD_SECONDS = 0.5
_ANSWER_SECONDS = 1.0

#: A look that takes so much longer than its two questions may was held up in this process.
_HELD_UP_SECONDS = 0.5

#: Whatever keeps a look from being answered: refused credentials are no answer either.
_NO_ANSWER = (*runtime_ledger.AWAY, asyncpg.PostgresError)


class LedgerWatch:
    """Asks the ledger twice a second, on a connection of its own.

    A pool would hand out connections to a frozen server one after the other; one that has
    not answered in time is dropped here, without a word to the server. While the ledger is
    away, whoever waits for it and whoever comes is refused at once.
    """

    def __init__(self, ledger: Ledger, dsn: str) -> None:
        self._ledger = ledger
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._suspected_at = float("-inf")
        self._was_held_up = False

    @property
    def is_away(self) -> bool:
        """Say whether the ledger did not answer when it was last asked."""
        return self._ledger.is_away

    def suspect(self) -> None:
        """Hold the ledger for away until it answers a question that is yet to be asked.

        Statements under way are left alone: one may be slow without the others.
        """
        self._suspected_at = time.monotonic()
        self._set_away("it did not commit in time")

    async def check(self) -> None:
        """Raise while the ledger is away."""
        if self.is_away:
            raise LedgerKnownAway("the ledger is away")

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask until told to stop."""
        try:
            while True:
                await self._look()
                if await wait_for_stop(stopping, _PERIOD_SECONDS):
                    return
        finally:
            self._drop()

    async def _look(self) -> None:
        """Ask, and once more on a new connection: one may break or be slow by itself.

        A process that stood still, or has a lot to catch up with, finds its time over though
        the ledger answered: such a look says nothing, unless the one before was of its kind.
        """
        asked_at = time.monotonic()
        why = await self._fault() and await self._fault()
        took = time.monotonic() - asked_at
        is_held_up = took > 2 * _ANSWER_SECONDS + _HELD_UP_SECONDS
        if why is not None and is_held_up and not self._was_held_up:
            self._was_held_up = True
            return
        self._was_held_up = False
        if why is not None:
            self._set_away(why)
            self._ledger.hang_up()
        elif self._ledger.is_away and asked_at > self._suspected_at:
            self._ledger.is_away = False
            log.info("ledger.returned")

    async def _fault(self) -> str | None:
        """Return what kept the ledger from answering, if anything did."""
        try:
            await self._ask()
        except _NO_ANSWER as error:
            self._drop()
            return type(error).__name__
        return None

    async def _ask(self) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=_ANSWER_SECONDS,
                command_timeout=_ANSWER_SECONDS,
                server_settings={"application_name": "tocsin-ledger-watch"},
            )
        await self._connection.execute("SELECT 1")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _set_away(self, why: str) -> None:
        if not self._ledger.is_away:
            self._ledger.is_away = True
            log.warning("ledger.went_away", why=why)
