"""The life of a notification: its states, and the moves between them.

This table is the only place that knows which move is legal.
SQL lists such as ``status IN (…)`` are generated from it (see ``ops.runtime.sql``).
"""

from enum import StrEnum


class Status(StrEnum):
    """Where a notification stands; the value is what clients see."""

    PENDING = "pending"  #: accepted for later, waits for its time
    QUEUED = "queued"  #: waits on the bus for a dispatcher
    PROCESSING = "processing"  #: a dispatcher holds its lease
    RETRYING = "retrying"  #: an attempt failed, another will follow
    DELIVERED = "delivered"  #: a provider accepted it
    FAILED = "failed"  #: given up; it has a dead letter
    CANCELLED = "cancelled"  #: called back before a dispatcher took it


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.CANCELLED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.CANCELLED, Status.FAILED}),
    Status.PROCESSING: frozenset(
        # back to queued: the attempt was not made (shutdown, our own failure)
        {Status.DELIVERED, Status.FAILED, Status.RETRYING, Status.QUEUED}
    ),
    Status.RETRYING: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.QUEUED}),  # replay, by an operator
    Status.DELIVERED: frozenset(),
    Status.CANCELLED: frozenset(),
}

FINAL = frozenset({Status.DELIVERED, Status.FAILED, Status.CANCELLED})
CLAIMABLE = frozenset(s for s in Status if Status.PROCESSING in TRANSITIONS[s])
CANCELLABLE = frozenset(s for s in Status if Status.CANCELLED in TRANSITIONS[s])

#: A notification whose dispatcher ended, or lost touch, this often while sending it is given
#: up as poison. What is put back, throttled or cut off by a shutdown counts for nothing here.
LOST_LEASES_AT_MOST = 5


def may_move(current: Status, new: Status) -> bool:
    """Say whether a notification in ``current`` may become ``new``."""
    return new in TRANSITIONS[current]


#: The trace event that marks the birth of a notification. Every other event is
#: named for the status it leads to, except the ones listed in ``TraceEvent``.
CREATED = "created"


class TraceEvent(StrEnum):
    """Events that add to the trace without changing the status."""

    REQUEUED = "requeued"  #: put on the bus again because the bus had lost it
    LATE_OUTCOME = "late_outcome"  #: an outcome that came after its lease was lost
    ERASED = "erased"  #: recipient and content were taken out, on request
    CONFIRMED = "confirmed"  #: a receipt: it reached the handset, mailbox or device
    BOUNCED = "bounced"  #: a receipt: it came back after the provider had accepted it
