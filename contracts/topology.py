"""The streams and consumers of the bus, as data.

Configurations are whole: JetStream resets every field an update leaves out.
``ops.runtime.topology`` brings a server to this shape.
"""

from enum import StrEnum

import msgspec

from contracts import subjects
from contracts.channels import LANES, Lane

_DAY_SECONDS = 24 * 3600.0

#: A publish is repeated at most this long after the first try; real idempotency is the
#: ledger's. A longer window costs memory and restarts (100 MB per 400,000 ids).
DUPLICATE_WINDOW_SECONDS = 120.0


class Retention(StrEnum):
    """When a stream lets a message go."""

    LIMITS = "limits"  #: when it is too old or the stream too large
    WORK_QUEUE = "workqueue"  #: when its consumer has acknowledged it


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream."""

    name: str
    subjects: tuple[str, ...]
    retention: Retention
    discard_new: bool  #: when full: refuse the new message (True) or drop the oldest
    max_age_seconds: float  #: 0 keeps for ever
    max_bytes: int  #: -1 is bounded by the server alone
    duplicate_window_seconds: float = DUPLICATE_WINDOW_SECONDS
    allow_atomic: bool = False  #: accepts batches that are stored whole or not at all
    history: int = 0  #: of a key-value bucket: values kept for each key; 0 is no bucket


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """One durable pull consumer with explicit acknowledgement."""

    name: str
    stream: str
    filter_subject: str | None
    ack_wait_seconds: float
    max_deliver: int
    max_ack_pending: int


NOTIFY = Stream(
    name="NOTIFY",
    subjects=(subjects.NOTIFY_ALL,),
    retention=Retention.WORK_QUEUE,
    discard_new=True,
    max_age_seconds=0,
    max_bytes=-1,
    allow_atomic=True,
)
STATUS = Stream(
    name="STATUS",
    subjects=(subjects.STATUS_ALL,),
    retention=Retention.LIMITS,
    discard_new=False,
    max_age_seconds=_DAY_SECONDS,
    max_bytes=8 << 30,
)
ADVISORY = Stream(
    name="ADVISORY",
    subjects=(
        f"{subjects.MAX_DELIVERIES}.{NOTIFY.name}.*",
        f"{subjects.MSG_TERMINATED}.{NOTIFY.name}.*",
    ),
    retention=Retention.WORK_QUEUE,
    discard_new=False,
    max_age_seconds=7 * _DAY_SECONDS,
    max_bytes=1 << 30,
)
DLQ = Stream(
    name="DLQ",
    subjects=(subjects.DLQ_ALL,),
    retention=Retention.LIMITS,
    discard_new=False,
    max_age_seconds=30 * _DAY_SECONDS,
    max_bytes=4 << 30,
)
#: What was accepted while the ledger was away. Full, it refuses: whoever was not promised
#: anything can try again, whoever was cannot.
SPOOL = Stream(
    name="SPOOL",
    subjects=(subjects.SPOOL_ALL,),
    retention=Retention.WORK_QUEUE,
    discard_new=True,
    max_age_seconds=0,
    max_bytes=1 << 30,
)


def bucket(name: str, *, history: int) -> Stream:
    """Return the stream behind a key-value bucket, as every NATS client knows it."""
    return Stream(
        name=f"KV_{name}",
        subjects=(f"$KV.{name}.>",),
        retention=Retention.LIMITS,
        discard_new=True,
        max_age_seconds=0,
        max_bytes=16 << 20,
        history=history,
    )


#: What operators told the mesh (``contracts.controls``), with what they said before.
CONTROLS = bucket("CONTROLS", history=10)
#: What the dispatchers agree on about providers (``contracts.breakers``).
BREAKERS = bucket("BREAKERS", history=1)

#: A dispatcher that dies is noticed after this long; while it lives it says so three times
#: in this span for everything it holds (``in_progress``).
ACK_WAIT_SECONDS = 15.0

#: Naks count as deliveries, so this is not an attempt count: its only job is to catch a
#: notification that ends its dispatcher again and again.
MAX_DELIVER = 25


def lane_consumer(lane: Lane) -> Consumer:
    """Return the consumer that all dispatchers of a lane share."""
    return Consumer(
        name=f"{lane.channel}-{lane.priority}",
        stream=NOTIFY.name,
        filter_subject=subjects.notify(lane),
        ack_wait_seconds=ACK_WAIT_SECONDS,
        max_deliver=MAX_DELIVER,
        max_ack_pending=20_000,
    )


DEAD_LETTERS = Consumer(
    name="dead-letters",
    stream=ADVISORY.name,
    filter_subject=None,
    ack_wait_seconds=30,
    max_deliver=-1,
    max_ack_pending=1_000,
)

#: An entry that could not be moved comes again after this long.
SPOOL_DRAIN = Consumer(
    name="drain",
    stream=SPOOL.name,
    filter_subject=None,
    ack_wait_seconds=30,
    max_deliver=-1,
    max_ack_pending=2_000,
)

#: ADVISORY comes before the lane consumers: an advisory nobody captures is lost for good.
STREAMS = (ADVISORY, NOTIFY, STATUS, DLQ, SPOOL, CONTROLS, BREAKERS)
CONSUMERS = (DEAD_LETTERS, SPOOL_DRAIN, *(lane_consumer(lane) for lane in LANES))
