"""Reads from JetStream how much waits in each lane, and since when."""

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, StreamState
from nats.js.errors import (
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)

from console.events import BacklogRead, LaneBacklog
from contracts import subjects, topology
from contracts.channels import LANES, Lane

#: The age of the oldest message takes one request for each lane that has any.
OLDEST_EVERY_SECONDS = 5.0

_ABSENT = (
    NoStreamResponseError,
    ServiceUnavailableError,
    nats.errors.NoRespondersError,
)


class BacklogReader:
    """Asks with few requests: one for all lanes, and one for each of two streams."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._oldest: dict[Lane, float] = {}
        self._oldest_read_at = float("-inf")

    async def read(self, now: float) -> BacklogRead:
        """Read once; a server that will not say becomes a ``problem`` in words."""
        try:
            consumers = await self._consumers()
            await self._read_oldest(now, consumers)
            dead_letters = await self._state(topology.DLQ.name)
            status = await self._state(topology.STATUS.name)
        except NotFoundError:
            return BacklogRead(
                problem=f"the bus has no stream {topology.NOTIFY.name} yet"
            )
        except _ABSENT:
            return BacklogRead(problem="JetStream is not available")
        except (nats.errors.Error, TimeoutError):
            return BacklogRead(problem="JetStream does not answer")
        return BacklogRead(
            lanes=[self._backlog(lane, info) for lane, info in consumers.items()],
            dead_letters=dead_letters.messages if dead_letters else None,
            status_sequence=status.last_seq if status else None,
            problem="" if consumers else "the lanes have no consumers yet",
        )

    async def _consumers(self) -> dict[Lane, ConsumerInfo]:
        names = {topology.lane_consumer(lane).name: lane for lane in LANES}
        return {
            names[info.name]: info
            for info in await self._js.consumers_info(topology.NOTIFY.name)
            if info.name in names
        }

    async def _read_oldest(
        self, now: float, consumers: dict[Lane, ConsumerInfo]
    ) -> None:
        waiting = [lane for lane, info in consumers.items() if _unfinished(info)]
        self._oldest = {
            lane: at for lane, at in self._oldest.items() if lane in waiting
        }
        if now - self._oldest_read_at < OLDEST_EVERY_SECONDS:
            return
        self._oldest_read_at = now
        for lane in waiting:
            try:
                message = await self._js.get_msg(
                    topology.NOTIFY.name,
                    seq=1,
                    subject=subjects.notify(lane),
                    direct=True,
                    next=True,
                )
            except NotFoundError:
                self._oldest.pop(lane, None)
                continue
            if message.time is not None:
                self._oldest[lane] = message.time.timestamp()

    async def _state(self, stream: str) -> StreamState | None:
        try:
            return (await self._js.stream_info(stream)).state
        except NotFoundError:
            return None

    def _backlog(self, lane: Lane, info: ConsumerInfo) -> LaneBacklog:
        return LaneBacklog(
            channel=lane.channel,
            priority=lane.priority,
            queued=info.num_pending or 0,
            unacked=info.num_ack_pending or 0,
            oldest_at=self._oldest.get(lane),
        )


def _unfinished(info: ConsumerInfo) -> int:
    return (info.num_pending or 0) + (info.num_ack_pending or 0)
