"""Puts committed groups on the bus, and announces that their notifications exist.

The ledger already holds an outbox row for each group, so nothing is lost when a group is
left here unpublished: the scheduler publishes it from that row, with the same message ids.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from contracts import messages, subjects
from contracts.channels import LANES
from contracts.ids import time_of
from contracts.lifecycle import Status
from contracts.messages import NotificationQueued, ReceiptArrived, StatusChanged
from gateway.metrics import LeftBecause, Metrics
from gateway.submissions import NewNotification
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.publisher import ATOMIC_AT_MOST, Outgoing, announce, publish_group
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

#: ``created`` is the first change of a notification, being queued or pending the second.
_SEQUENCE = 2

#: How often confirmed groups are removed when no commit takes them along.
_SWEEP_SECONDS = 0.5

_SUBJECTS = {lane: subjects.notify(lane) for lane in LANES}


class _Group(NamedTuple):
    id: UUID
    notifications: Sequence[NewNotification]


class Publishing:
    """Bounded: past ``backlog`` notifications, groups are left to the scheduler."""

    def __init__(
        self,
        bus: Bus,
        forget: Callable[[Sequence[UUID]], Awaitable[None]],
        metrics: Metrics,
        *,
        backlog: int,
    ) -> None:
        self._bus = bus
        self._forget = forget
        self._metrics = metrics
        self._backlog = backlog
        self._groups: deque[_Group] = deque()
        self._arrived = asyncio.Event()
        self._confirmed: list[UUID] = []
        self._draining = False
        self._is_failing = False
        self.depth = 0  #: notifications that wait for the bus

    def offer(self, group_id: UUID, notifications: Sequence[NewNotification]) -> None:
        """Take a committed group; never blocks."""
        if not notifications:
            return
        if self.depth + len(notifications) > self._backlog:
            self._metrics.group_left(LeftBecause.BACKLOG)
            return
        self.depth += len(notifications)
        self._groups.append(_Group(group_id, notifications))
        self._arrived.set()

    def take_confirmed(self) -> list[UUID]:
        """Hand over the groups that the bus has confirmed and the ledger still lists."""
        confirmed, self._confirmed = self._confirmed, []
        return confirmed

    def give_back(self, confirmed: Sequence[UUID]) -> None:
        """Take back what could not be removed from the ledger."""
        self._confirmed += confirmed

    def drain(self) -> None:
        """Make ``run`` return when every group that was offered has been tried."""
        self._draining = True
        self._arrived.set()

    async def run(self) -> None:
        """Publish what was offered, in the order of the commits, until drained."""
        while True:
            if not self._groups:
                if self._draining:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._publish(self._take_groups())

    async def sweep(self, stopping: asyncio.Event) -> None:
        """Remove confirmed groups that no commit has taken along, until told to stop."""
        while not await wait_for_stop(stopping, _SWEEP_SECONDS):
            await self.remove_confirmed()

    async def remove_confirmed(self) -> None:
        """Remove confirmed groups from the ledger; what fails is tried again later."""
        if not self._confirmed:
            return
        confirmed = self.take_confirmed()
        try:
            await self._forget(confirmed)
        except Exception as error:  # noqa: BLE001 (the sweep must go on; the scheduler covers it)
            self.give_back(confirmed)
            log.warning("outbox.not_swept", error=type(error).__name__)

    async def tell(self, event: StatusChanged | ReceiptArrived) -> None:
        """Announce one change that is committed; a lost event is counted, nothing else."""
        try:
            await announce(self._bus, [(_subject(event), messages.encode(event))])
        except BusUnavailable:
            self._metrics.status_events_lost(1)

    def _take_groups(self) -> list[_Group]:
        """Take what waits, up to one atomic batch: many small groups share a round trip."""
        taken = [self._groups.popleft()]
        size = len(taken[0].notifications)
        while self._groups:
            size += len(self._groups[0].notifications)
            if size > ATOMIC_AT_MOST:
                break
            taken.append(self._groups.popleft())
        return taken

    async def _publish(self, groups: list[_Group]) -> None:
        notifications = [n for group in groups for n in group.notifications]
        try:
            await self._announce(notifications)
            await publish_group(
                self._bus, [_outgoing(n) for n in notifications if n.due_at is None]
            )
        except BusUnavailable as error:
            self._leave(groups, error)
        except Exception as error:
            log.exception("group.failed")
            self._leave(groups, error)
        else:
            self._is_failing = False
            self._confirmed += [group.id for group in groups]
            self._metrics.groups_published(len(groups))
        finally:
            self.depth -= len(notifications)

    def _leave(self, groups: list[_Group], error: Exception) -> None:
        """Leave groups to the scheduler; say so once, not once a group."""
        for _ in groups:
            self._metrics.group_left(LeftBecause.BUS)
        if not self._is_failing:
            log.warning("group.left_to_scheduler", error=repr(error))
        self._is_failing = True

    async def _announce(self, notifications: list[NewNotification]) -> None:
        """Publish the first status of each; a lost one is counted and costs nobody a wait."""
        try:
            await announce(self._bus, (_announcement(n) for n in notifications))
        except BusUnavailable:
            self._metrics.status_events_lost(len(notifications))


def _announcement(notification: NewNotification) -> tuple[str, bytes]:
    tenant, channel, id_ = notification.tenant, notification.channel, notification.id
    status = Status.QUEUED if notification.due_at is None else Status.PENDING
    event = StatusChanged(
        notification_id=id_,
        tenant=tenant,
        channel=channel,
        priority=notification.priority,
        status=status,
        attempts=0,
        sequence=_SEQUENCE,
        at=time_of(id_),
        correlation_id=notification.correlation_id,
        batch_id=notification.batch_id,
    )
    return subjects.status(tenant, channel, status, id_), messages.encode(event)


def _subject(event: StatusChanged | ReceiptArrived) -> str:
    if isinstance(event, ReceiptArrived):
        return subjects.receipt(
            event.tenant, event.channel, event.receipt.kind, event.notification_id
        )
    return subjects.status(
        event.tenant, event.channel, event.status, event.notification_id
    )


def _outgoing(notification: NewNotification) -> Outgoing:
    headers = {messages.CORRELATION_HEADER: notification.correlation_id}
    if notification.traceparent is not None:
        headers[messages.TRACEPARENT_HEADER] = notification.traceparent
    return Outgoing(
        subject=_SUBJECTS[notification.lane],
        payload=messages.encode(NotificationQueued(notification_id=notification.id)),
        message_id=messages.queueing_id(notification.id, _SEQUENCE),
        headers=headers,
    )
