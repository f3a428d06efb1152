"""Counts what waits, for the people who watch."""

from scheduler.jobs import Done, JobName
from scheduler.locks import Locks
from scheduler.rows import Backlog
from scheduler.store import Store


class BacklogCount:
    """The latest count, known only to the process that holds the job."""

    def __init__(self, store: Store, locks: Locks) -> None:
        self._store = store
        self._locks = locks
        self._latest: Backlog | None = None

    async def step(self) -> Done:
        """Count once."""
        self._latest = await self._store.backlog()
        return Done()

    def latest(self) -> Backlog | None:
        """Return the latest count; None when counting is another process's job."""
        return self._latest if JobName.BACKLOG in self._locks.held else None

    def gauges(self) -> dict[str, float]:
        """Return the counts, if this process has them."""
        gauges: dict[str, float] = {}
        if (backlog := self.latest()) is not None:
            gauges["due_notifications"] = backlog.due
            gauges["waiting_notifications"] = backlog.waiting
            gauges["outbox_groups"] = backlog.outbox_groups
        return gauges
