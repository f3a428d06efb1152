"""Notifications brought into the shapes the scheduler looks for, and what the bus holds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from nats.js import errors as js_errors

from contracts import messages, subjects, topology
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.ids import new_id
from contracts.operations import LetterFilter, OperationKind, OperationState
from contracts.spool import SpooledNotification, SpooledSubmission
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.rows import insert

EVERYTHING = LetterFilter()
LAST = UUID(int=(1 << 128) - 1)

PENDING = "status = 'pending', queued_at = NULL"
PARKED = (
    "status = 'retrying', sequence = 4, attempts = 1, failure_class = 'transient', "
    "next_retry_at = now(), queued_at = NULL"
)
LEASED = (
    "status = 'processing', sequence = 3, attempts = 1, lease_owner = 'dispatcher-1', "
    "lease_until = now() + interval '15 seconds', updated_at = clock_timestamp()"
)
DEAD_DISPATCHER = (
    "status = 'processing', sequence = 3, attempts = 1, lease_owner = 'dispatcher-1', "
    "lease_until = now() - interval '1 second', updated_at = clock_timestamp()"
)
DUE = "due_at = now() - interval '10 milliseconds'"
FAILED = (
    "status = 'failed', sequence = 4, attempts = 1, queued_at = NULL, failed_at = now(), "
    "failure_class = 'permanent', failure_reason = 'refused'"
)


async def shape(ledger: Ledger, ids: Sequence[UUID], *assignments: str) -> None:
    """Set columns of some notifications, as the services would have left them."""
    await ledger.fetch(
        f"UPDATE notification SET {', '.join(assignments)} WHERE id = ANY ($1)", ids
    )


async def add_group(
    ledger: Ledger, ids: Sequence[UUID], age_seconds: float = 60
) -> UUID:
    """Write the outbox row of a group that has waited so long for its confirmation."""
    group_id = new_id()
    await ledger.fetch(
        "INSERT INTO outbox_group (id, notification_ids, created_at)"
        " VALUES ($1, $2, now() - make_interval(secs => $3))",
        group_id,
        ids,
        age_seconds,
    )
    return group_id


async def give_up(ledger: Ledger, ids: Sequence[UUID], age_seconds: float = 0) -> None:
    """Fail notifications with their dead letters, as a dispatcher commits it."""
    await shape(ledger, ids, FAILED)
    await ledger.fetch(
        "INSERT INTO dead_letter (notification_id, sequence, tenant, channel, priority,"
        " attempts, failure_class, reason, created_at)"
        " SELECT id, sequence, tenant, channel, priority, attempts, failure_class,"
        " failure_reason, now() - make_interval(secs => $2)"
        " FROM notification WHERE id = ANY ($1)",
        ids,
        age_seconds,
    )


async def begin(
    ledger: Ledger,
    kind: OperationKind = OperationKind.REPLAY,
    which: LetterFilter = EVERYTHING,
    **changes: Any,
) -> UUID:
    """Write down an operation as the gateway does, with every dead letter in its reach."""
    now = datetime.now(UTC)
    row = {
        "id": new_id(),
        "tenant": "default",
        "kind": kind,
        "state": OperationState.RUNNING,
        "who": "ann",
        "reason": "the provider is back",
        "filter": msgspec.json.encode(which).decode(),
        "total": 0,
        "reached": UUID(int=0),
        "until": LAST,
        "ready_at": now,
        "created_at": now,
        "updated_at": now,
        **changes,
    }
    await insert(ledger.pool, "operation", **row)
    id_: UUID = row["id"]
    return id_


def submission(recipient: str = "+15555550001") -> SpooledSubmission:
    """Make what a gateway keeps in the spool while the ledger is away."""
    id_ = new_id()
    return SpooledSubmission(
        id=id_,
        tenant="default",
        correlation_id="test",
        at=datetime.now(UTC),
        notifications=[
            SpooledNotification(
                id=id_,
                channel=Channel.SMS,
                priority=Priority.NORMAL,
                max_attempts=5,
                recipient=recipient,
                content="hello",
            )
        ],
    )


async def column(ledger: Ledger, name: str, ids: Iterable[UUID]) -> list[Any]:
    """Return one column of some notifications, in the order of their ids."""
    rows = await ledger.fetch(
        f"SELECT {name} AS value FROM notification WHERE id = ANY ($1) ORDER BY id",
        list(ids),
    )
    return [row["value"] for row in rows]


async def tally(ledger: Ledger, name: str, ids: Iterable[UUID]) -> Counter[Any]:
    """Count the values of one column of some notifications."""
    return Counter(await column(ledger, name, ids))


async def trace(ledger: Ledger, id_: UUID) -> list[str]:
    """Return the events of a notification, oldest first."""
    rows = await ledger.fetch(
        "SELECT event FROM notification_event WHERE notification_id = $1 ORDER BY id",
        id_,
    )
    return [row["event"] for row in rows]


async def count(ledger: Ledger, table: str) -> int:
    """Count the rows of a table."""
    [row] = await ledger.fetch(f"SELECT count(*) FROM {table}")
    number: int = row[0]
    return number


async def stored(bus: Bus, stream: str = topology.NOTIFY.name) -> int:
    """Count the messages of a stream."""
    return (await bus.js.stream_info(stream)).state.messages


async def take(bus: Bus, lane: Lane, at_most: int) -> list[Any]:
    """Pull messages of a lane as a dispatcher does, until none comes or there are enough."""
    consumer = topology.lane_consumer(lane)
    pulled = await bus.js.pull_subscribe_bind(consumer.name, consumer.stream)
    taken: list[Any] = []
    try:
        while len(taken) < at_most:
            taken += await pulled.fetch(min(500, at_most - len(taken)), timeout=0.5)
    except TimeoutError:
        pass
    await pulled.unsubscribe()
    return taken


def notification_in(message: Any) -> UUID:
    """Return whose message it is."""
    content = messages.decode(message.data)
    assert isinstance(content, messages.NotificationQueued)
    return content.notification_id


async def ids_on_bus(bus: Bus, lanes: Iterable[Lane] = LANES) -> Counter[UUID]:
    """Count the messages of each notification, looking without consuming."""
    found: Counter[UUID] = Counter()
    for lane in lanes:
        sequence = 0
        while True:
            try:
                message = await bus.js.get_msg(
                    topology.NOTIFY.name,
                    seq=sequence + 1,
                    subject=subjects.notify(lane),
                    next=True,
                )
            except js_errors.NotFoundError:
                break
            assert message.seq is not None
            sequence = message.seq
            found[notification_in(message)] += 1
    return found
