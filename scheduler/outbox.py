"""Publishes groups whose publish was never confirmed: their gateway died, or the bus was away."""

import structlog

from scheduler.jobs import SERVER_AWAY, Done
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.rows import Group, Late
from scheduler.store import Store

log = structlog.stdlib.get_logger()

_GROUPS_AT_ONCE = 20


class Outbox:
    """Takes the oldest late groups, a few a step.

    Whoever made a group may be confirming it this very moment: the message ids are the same,
    so the bus stores each queueing once whoever comes first. What was told of it already is
    told again, with the same sequence. A group that cannot be published, for a reason that is
    not a server's, is put back behind the others.
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
        if not late.groups:
            return Done()
        await self._publisher.announce(late.changes)
        published = await self._publish(late)
        notifications = sum(len(group.queueings) for group in published)
        self._metrics.republished(len(published), notifications)
        log.info(
            "outbox.republished", groups=len(published), notifications=notifications
        )
        return Done(
            0 if len(late.groups) == _GROUPS_AT_ONCE else None,
            scanned=sum(len(group.notification_ids) for group in late.groups),
            why={"unconfirmed": notifications},
            kept=True,
        )

    async def _publish(self, late: Late) -> list[Group]:
        """Publish all at once, or one by one if some cannot be; returns what was."""
        try:
            await self._publisher.queue_late(late.group)
        except SERVER_AWAY:
            raise
        except Exception as error:  # noqa: BLE001 (one by one it shows whose fault it is)
            log.warning("outbox.taken_apart", error=type(error).__name__)
            return [group for group in late.groups if await self._published(group)]
        return late.groups

    async def _published(self, group: Group) -> bool:
        try:
            await self._publisher.queue_late(group)
        except SERVER_AWAY:
            raise
        except Exception as error:  # noqa: BLE001 (the others must not wait for it)
            log.warning(
                "outbox.group_put_back",
                group_id=str(group.ids[0]),
                error=type(error).__name__,
            )
            self._metrics.group_put_back()
            await self._store.put_back(group)
            return False
        return True
