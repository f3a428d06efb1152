"""Makes the ledger's weekly partitions before they are needed."""

import asyncpg
import structlog

from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_WHEN_BUSY_SECONDS = 60.0


class Partitions:
    """Keeps this week's partitions and some weeks' ahead."""

    def __init__(self, store: Store, metrics: Metrics, *, weeks: int) -> None:
        self._store = store
        self._metrics = metrics
        self._weeks = weeks

    async def step(self) -> Done:
        """Make what is missing, and see what fell into the default partitions."""
        try:
            made = await self._store.make_partitions(self._weeks)
        except asyncpg.LockNotAvailableError:
            log.warning("partitions.postponed", again_in_seconds=_WHEN_BUSY_SECONDS)
            return Done(_WHEN_BUSY_SECONDS)
        beside = await self._store.default_partition_rows()
        self._metrics.partitions_kept(made, beside)
        if made:
            log.info("partitions.made", partitions=made)
        if any(beside.values()):
            log.warning("partitions.bypassed", **beside)
        return Done(why={"missing": made} if made else {})
