"""Publishes groups whose publish was never confirmed: their gateway died, or the bus was away."""

import structlog

from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_GROUPS_AT_ONCE = 20


class Outbox:
    """Takes the oldest late groups, a few a step.

    Whoever made a group may be confirming it this very moment: the message ids are the same,
    so the bus stores each queueing once whoever comes first.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        *,
        late_seconds: float,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._late_seconds = late_seconds

    async def step(self) -> float | None:
        """Publish what is late; at once again when there may be more."""
        late = await self._store.late_groups(self._late_seconds, _GROUPS_AT_ONCE)
        if not late.ids:
            return None
        await self._publisher.queue_late(late)
        self._metrics.republished(len(late.ids), len(late.queueings))
        log.info(
            "outbox.republished",
            groups=len(late.ids),
            notifications=len(late.queueings),
        )
        return 0 if len(late.ids) == _GROUPS_AT_ONCE else None
