"""What the scheduler puts on the bus: queued notifications, status events, dead letters."""

import time
from collections.abc import Sequence

from contracts import messages, subjects
from contracts.channels import Lane
from contracts.messages import (
    CORRELATION_HEADER,
    TRACEPARENT_HEADER,
    NotificationQueued,
    StatusChanged,
)
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.publisher import Outgoing, announce, publish_group
from scheduler.metrics import Metrics
from scheduler.published_letters import DOUBTFUL_SECONDS, message_ids_since
from scheduler.rows import Group, Letter, Queueing
from scheduler.store import Store


class Publisher:
    """Publishes, and tells the ledger what the bus has confirmed."""

    def __init__(
        self, bus: Bus, store: Store, metrics: Metrics, *, late_seconds: float
    ) -> None:
        self._bus = bus
        self._store = store
        self._metrics = metrics
        self._late_seconds = late_seconds

    async def queue(self, group: Group) -> None:
        """Publish a group made just now, and let go of its outbox row.

        Raises BusUnavailable with the row still there: the outbox job publishes it later.
        """
        started = time.monotonic()
        await publish_group(self._bus, [_queued(one) for one in group.queueings])
        if time.monotonic() - started < self._late_seconds:
            await self._store.confirm(group)
        else:
            await self._store.confirm_late(group)

    async def queue_late(self, group: Group) -> None:
        """Publish a group whose rows were queued some time ago, and let go of it."""
        await publish_group(self._bus, [_queued(one) for one in group.queueings])
        await self._store.confirm_late(group)

    async def announce(self, changes: Sequence[StatusChanged]) -> None:
        """Tell whoever listens; what the bus does not take is counted and never repeated."""
        try:
            await announce(self._bus, [_news(change) for change in changes])
        except BusUnavailable:
            self._metrics.status_events_lost(len(changes))

    async def write_letters(self, letters: Sequence[Letter]) -> None:
        """Put dead letters on the DLQ and note it; one that is there already is not doubled."""
        if not letters:
            return
        known: set[str] = set()
        looked_for: set[Letter] = set()
        # A process that was stopped since it read them finds them older than they were.
        while doubtful := _doubtful(letters) - looked_for:
            known |= await message_ids_since(
                self._bus, min(letter.message.at for letter in doubtful)
            )
            looked_for |= doubtful
        await publish_group(
            self._bus, [_dead(one) for one in letters if one.message_id not in known]
        )
        self._metrics.letters_published(await self._store.stamp_published(letters))


def _doubtful(letters: Sequence[Letter]) -> set[Letter]:
    """Return those that the bus may have and not remember by their ids."""
    return {letter for letter in letters if letter.age_seconds > DOUBTFUL_SECONDS}


def _news(change: StatusChanged) -> tuple[str, bytes]:
    subject = subjects.status(
        change.tenant, change.channel, change.status, change.notification_id
    )
    return subject, messages.encode(change)


def _queued(one: Queueing) -> Outgoing:
    return Outgoing(
        subject=subjects.notify(one.lane),
        payload=messages.encode(NotificationQueued(notification_id=one.id)),
        message_id=messages.queueing_id(one.id, one.sequence),
        headers=_headers(one.correlation_id, one.traceparent),
    )


def _dead(letter: Letter) -> Outgoing:
    message = letter.message
    return Outgoing(
        subject=subjects.dead_letter(Lane(message.channel, message.priority)),
        payload=messages.encode(message),
        message_id=letter.message_id,
        headers=_headers(message.correlation_id, letter.traceparent),
    )


def _headers(correlation_id: str, traceparent: str | None) -> dict[str, str]:
    headers = {CORRELATION_HEADER: correlation_id} if correlation_id else {}
    if traceparent:
        headers[TRACEPARENT_HEADER] = traceparent
    return headers
