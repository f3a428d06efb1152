"""Takes recipients and contents out of notifications that are old, and keeps their trace."""

import structlog

from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_PAGE = 500
_BETWEEN_PAGES_SECONDS = 0.05


class Redaction:
    """Redacts one page a step of what ended long ago, in the order in which it was made.

    Without a number of days nothing is redacted.
    """

    def __init__(
        self, store: Store, metrics: Metrics, *, after_days: int | None
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._after_days = after_days

    async def step(self) -> Done:
        """Redact a page; soon again when there are more."""
        if self._after_days is None:
            return Done()
        passed, redacted = await self._store.redact_old(self._after_days, _PAGE)
        if redacted:
            self._metrics.redacted(redacted)
            log.info("notifications.redacted", notifications=redacted)
        return Done(
            _BETWEEN_PAGES_SECONDS if passed == _PAGE else None,
            scanned=passed,
            why={"old": redacted},
        )
