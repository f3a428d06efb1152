"""What a dispatcher tells the bus: acknowledgements, and news of changed statuses.

Both are plain publishes. A lost acknowledgement brings the message again, and the claim
then finds the row settled; a lost status event is counted and missed by nobody who reads
the ledger. So neither ever blocks or fails a dispatch.
"""

from collections.abc import Iterable
from uuid import UUID

import nats.errors
from nats.aio.client import Client

from contracts import subjects
from contracts.messages import CORRELATION_HEADER, StatusChanged, encode
from dispatcher.metrics import Metrics

_LOST = (nats.errors.Error, ConnectionError)


def termination(notification_id: UUID, why: str | None) -> str:
    """Return the reason of a termination: the server's advisory carries it to the DLQ."""
    return f"{notification_id} {why}"


class Answers:
    """Publishes over one connection; what cannot be sent now is counted and dropped."""

    def __init__(self, nc: Client, metrics: Metrics) -> None:
        self._nc = nc
        self._metrics = metrics

    async def ack(self, reply: str) -> None:
        """Let the bus forget the message."""
        await self._answer(reply, b"+ACK")

    async def put_back(self, reply: str, delay_seconds: float = 0.0) -> None:
        """Have the message brought again, to anyone, after a delay."""
        if delay_seconds <= 0:
            await self._answer(reply, b"-NAK")
        else:
            await self._answer(
                reply, b'-NAK {"delay": %d}' % int(delay_seconds * 1_000_000_000)
            )

    async def work_on(self, reply: str) -> None:
        """Start the message's acknowledgement wait again."""
        await self._answer(reply, b"+WPI")

    async def terminate(self, reply: str, reason: str) -> None:
        """End the message; the server's advisory carries the reason."""
        await self._answer(reply, b"+TERM " + reason.encode())

    async def _answer(self, reply: str, payload: bytes) -> None:
        try:
            await self._nc.publish(reply, payload)
        except _LOST:
            self._metrics.answer_lost()

    async def announce(self, changes: Iterable[StatusChanged]) -> None:
        """Publish status events, after the commit they tell of."""
        for change in changes:
            try:
                await self._nc.publish(
                    subjects.status(
                        change.tenant,
                        change.channel,
                        change.status,
                        change.notification_id,
                    ),
                    encode(change),
                    headers={CORRELATION_HEADER: change.correlation_id},
                )
            except _LOST:
                self._metrics.event_lost()
