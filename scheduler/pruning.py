"""Removes expired idempotency keys, and old runs of jobs."""

import structlog

from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_PAGE = 500
#: The latest of each job.
RUNS_KEPT = 1_000
#: Between pages the ledger belongs to those who have someone waiting.
_BETWEEN_PAGES_SECONDS = 0.05


class Pruning:
    """Removes one small page of each a step."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    async def step(self) -> Done:
        """Remove a page of each; soon again when there is more."""
        removed = await self._store.prune_idempotency_keys(_PAGE)
        if removed:
            self._metrics.pruned(removed)
            log.info("idempotency_keys.pruned", keys=removed)
        runs = await self._store.prune_job_runs(RUNS_KEPT, _PAGE)
        return Done(
            _BETWEEN_PAGES_SECONDS if _PAGE in (removed, runs) else None,
            why={"idempotency_key": removed},
        )
