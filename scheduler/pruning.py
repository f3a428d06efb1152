"""Removes expired idempotency keys."""

import structlog

from scheduler.metrics import Metrics
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_PAGE = 500
#: Between pages the ledger belongs to those who have someone waiting.
_BETWEEN_PAGES_SECONDS = 0.05


class Pruning:
    """Removes one small page a step."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    async def step(self) -> float | None:
        """Remove a page of keys; soon again when there are more."""
        removed = await self._store.prune_idempotency_keys(_PAGE)
        if removed:
            self._metrics.pruned(removed)
            log.info("idempotency_keys.pruned", keys=removed)
        return _BETWEEN_PAGES_SECONDS if removed == _PAGE else None
