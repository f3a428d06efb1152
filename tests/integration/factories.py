"""Notifications as the gateway would leave them: committed, traced, and on the bus."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts import subjects
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from contracts.messages import (
    CORRELATION_HEADER,
    NotificationQueued,
    encode,
    queueing_id,
)
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.publisher import Outgoing, publish_group

RECIPIENTS = {
    Channel.SMS: "+15555550100",
    Channel.EMAIL: "someone@example.com",
    Channel.PUSH: "device-token-1",
}

_INSERT = """
WITH seeded AS (
  INSERT INTO notification (id, tenant, channel, priority, status, sequence, max_attempts,
      recipient, content, correlation_id, expires_at, queued_at, created_at, updated_at)
  SELECT id, 'default', $2, $3, 'queued', 2, $4, $5, $6, $7, $8, now(), now(), now()
    FROM unnest($1::uuid[]) AS given (id)
  RETURNING id
)
INSERT INTO notification_event (notification_id, sequence, event)
SELECT id, change.sequence, change.event
  FROM seeded, (VALUES (1, 'created'), (2, 'queued')) AS change (sequence, event)
 ORDER BY change.sequence
"""


async def seed_notifications(
    ledger: Ledger,
    bus: Bus | None,
    count: int,
    *,
    channel: Channel = Channel.SMS,
    priority: Priority = Priority.NORMAL,
    recipient: str | None = None,
    content: str = "The kettle is on.",
    max_attempts: int = 5,
    correlation_id: str = "corr-seeded",
    expires_at: datetime | None = None,
) -> list[UUID]:
    """Insert queued notifications in one lane and, given a bus, publish them."""
    ids = [new_id() for _ in range(count)]
    await ledger.fetch(
        _INSERT,
        ids,
        channel,
        priority,
        max_attempts,
        recipient or RECIPIENTS[channel],
        content,
        correlation_id,
        expires_at,
    )
    if bus is not None:
        await publish_queued(bus, Lane(channel, priority), ids)
    return ids


async def publish_queued(
    bus: Bus, lane: Lane, ids: Sequence[UUID], *, sequence: int = 2
) -> None:
    """Put notifications on their lane, as whoever queued them does."""
    await publish_group(
        bus,
        [
            Outgoing(
                subject=subjects.notify(lane),
                payload=encode(NotificationQueued(notification_id=id_)),
                message_id=queueing_id(id_, sequence),
                headers={CORRELATION_HEADER: "corr-seeded"},
            )
            for id_ in ids
        ],
    )
