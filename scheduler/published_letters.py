"""Which dead letters the DLQ has already, beyond what its duplicate window remembers.

A scheduler that died, or a ledger that went away, between the publish of a letter and its
stamp leaves a letter that nobody knows to be published. The bus refuses it a second time for
two minutes only; later it is looked for, by the message ids alone, in what the DLQ has stored
since the letter was written.
"""

from datetime import datetime, timedelta

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts import topology
from contracts.messages import MESSAGE_ID_HEADER
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable

#: A letter older than this may have been published longer ago than the bus remembers.
DOUBTFUL_SECONDS = topology.DUPLICATE_WINDOW_SECONDS / 2

#: How much the clocks of ledger and bus may differ.
_SKEW = timedelta(minutes=10)
_FETCH = 500
_ANSWER_SECONDS = 5.0
_FORGOTTEN_SECONDS = 30.0


async def message_ids_since(bus: Bus, moment: datetime) -> set[str]:
    """Return the ids of what the DLQ has stored since a moment of the ledger's clock.

    Raises BusUnavailable when it does not say all.
    """
    info = await bus.js.add_consumer(
        topology.DLQ.name,
        ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=moment - _SKEW,
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_FORGOTTEN_SECONDS,
        ),
    )
    subscription = await bus.js.pull_subscribe_bind(info.name, topology.DLQ.name)
    found: set[str] = set()
    left = info.num_pending or 0
    try:
        while left > 0:
            batch = await subscription.fetch(min(_FETCH, left), timeout=_ANSWER_SECONDS)
            left -= len(batch)
            found.update((m.headers or {}).get(MESSAGE_ID_HEADER, "") for m in batch)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailable(repr(error)) from error
    finally:
        await subscription.unsubscribe()
        await bus.js.delete_consumer(topology.DLQ.name, info.name)
    return found
