"""When the ledger was away: what was leased then may have an owner who lives.

Nobody can renew a lease or write an outcome while the ledger does not answer. So a lease
that ended meanwhile says nothing of its owner, and whoever comes first afterwards would take
over what another has sent and is about to settle.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from ops.runtime import ledger

#: Also a full disk or a standby, where a statement is refused that is in order.
UNANSWERED = (*ledger.AWAY, asyncpg.PostgresError)

#: What is wrong with the values and not with the server: trying again changes nothing.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class Absence:
    """Knows when the ledger came back, to this process."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._back_at = -math.inf

    @property
    def doubt_seconds(self) -> float:
        """Return for how long owners may still need to renew or settle; 0 when they had time."""
        return max(0.0, self._back_at + self._lease_seconds - time.monotonic())

    @contextmanager
    def watched(self, asked_at: float) -> Iterator[None]:
        """Take note of whether the ledger answers what is asked in the block."""
        try:
            yield
        except UNANSWERED as error:
            if not isinstance(error, REFUSED):
                self.failed()
            raise
        self.answered(asked_at)

    def failed(self) -> None:
        """Take note that the ledger did not answer."""
        self._back_at = time.monotonic()

    def answered(self, asked_at: float) -> None:
        """Take note of an answer; one that took a third of a lease was an absence too.

        A lease that is renewed in time has about that much left.
        """
        now = time.monotonic()
        if now - asked_at >= self._lease_seconds / 3:
            self._back_at = now
