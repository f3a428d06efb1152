"""Publishes groups whose publish was never confirmed: their gateway died, or the bus was away."""

import structlog

from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_GROUPS_AT_ONCE = 20


class Outbox:
    """Takes the oldest late groups, a few a step.

    Whoever made a group may be confirming it this very moment: the message ids are the same,
    so the bus stores each queueing once whoever comes first. What was told of it already is
    told again, with the same sequence.
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

    async def step(self) -> Done:
        """Publish what is late; at once again when there may be more."""
        late = await self._store.late_groups(self._late_seconds, _GROUPS_AT_ONCE)
        group = late.group
        if not group.ids:
            return Done()
        await self._publisher.announce(late.changes)
        await self._publisher.queue_late(group)
        self._metrics.republished(len(group.ids), len(group.queueings))
        log.info(
            "outbox.republished",
            groups=len(group.ids),
            notifications=len(group.queueings),
        )
        return Done(
            0 if len(group.ids) == _GROUPS_AT_ONCE else None,
            scanned=len(group.notification_ids),
            why={"unconfirmed": len(group.queueings)},
            kept=True,
        )
