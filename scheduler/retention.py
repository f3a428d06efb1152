"""Removes what is older than the ledger keeps: whole weeks at once, the rest in pages."""

import time

import asyncpg
import structlog

from scheduler.jobs import Done
from scheduler.metrics import KeptTable, Metrics
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_PAGE = 500
_LOOKED_AT_ONCE = 20_000
_BETWEEN_PAGES_SECONDS = 0.05
_WHEN_BUSY_SECONDS = 60.0


class Retention:
    """Drops one week, or removes one page of each of the other tables, a step."""

    def __init__(self, store: Store, metrics: Metrics, *, days: int) -> None:
        self._store = store
        self._metrics = metrics
        self._days = days
        #: Until when, by the monotonic clock, what ended last in a week is to be kept.
        self._kept_until: dict[str, float] = {}

    async def step(self) -> Done:
        """Remove some of what is too old; soon again when there is more.

        A week stays while one of its notifications still waits for something, or ended
        in the days that the ledger keeps.
        """
        try:
            dropped = await self._drop_weeks()
        except asyncpg.LockNotAvailableError:
            log.warning("retention.postponed", again_in_seconds=_WHEN_BUSY_SECONDS)
            return Done(_WHEN_BUSY_SECONDS)
        rows = {
            KeptTable.NOTIFICATION: await self._store.prune_default(self._days, _PAGE),
            KeptTable.BATCH: await self._store.prune_batches(self._days, _PAGE),
            KeptTable.DEAD_LETTER: await self._store.prune_dead_letters(
                self._days, _PAGE
            ),
        }
        self._metrics.outlived(dropped, rows)
        if dropped or any(rows.values()):
            log.info("retention.applied", partitions=dropped, **rows)
        return Done(
            _BETWEEN_PAGES_SECONDS if _PAGE in rows.values() else None,
            why={"partition": dropped, **{str(table): n for table, n in rows.items()}},
        )

    async def _drop_weeks(self) -> int:
        for week in await self._store.expired_weeks(self._days):
            if await self._is_in_use(week) or not await self._store.detach_week(
                week, self._days
            ):
                log.warning("retention.week_in_use", week=week)
        return await self._store.drop_detached()

    async def _is_in_use(self, week: str) -> bool:
        """Ask before anything is locked: a week may be large."""
        if time.monotonic() < self._kept_until.get(week, 0.0):
            return True
        if await self._store.week_in_use(week, self._days):
            return True
        kept_seconds = await self._store.week_kept_seconds(
            week, self._days, _LOOKED_AT_ONCE
        )
        if kept_seconds is None:
            return False
        self._kept_until[week] = time.monotonic() + kept_seconds
        return True
