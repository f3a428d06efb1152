"""Counts what waits, for the people who watch."""

from ops.runtime.heartbeat import Readings
from scheduler.jobs import JobName
from scheduler.locks import Locks
from scheduler.rows import Backlog
from scheduler.store import Store


class BacklogCount:
    """The latest count, known only to the process that holds the job."""

    def __init__(self, store: Store, locks: Locks) -> None:
        self._store = store
        self._locks = locks
        self._latest: Backlog | None = None

    async def step(self) -> None:
        """Count once."""
        self._latest = await self._store.backlog()

    def latest(self) -> Backlog | None:
        """Return the latest count; None when counting is another process's job."""
        return self._latest if JobName.BACKLOG in self._locks.held else None

    def readings(self) -> Readings:
        """Return what this process adds to its heartbeat."""
        gauges = {"jobs_held": float(len(self._locks.held))}
        if (backlog := self.latest()) is not None:
            gauges["due_notifications"] = backlog.due
            gauges["waiting_notifications"] = backlog.waiting
            gauges["outbox_groups"] = backlog.outbox_groups
        return Readings(gauges=gauges)
