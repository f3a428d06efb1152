"""What a dispatcher tells the bus: acknowledgements, and news of changed statuses.

Both are plain publishes. A lost acknowledgement brings the message again, and the claim
then finds the row settled; a lost status event is counted and missed by nobody who reads
the ledger. So neither ever blocks or fails a dispatch.
"""

from collections.abc import Sequence
from uuid import UUID

import nats.errors
from nats.aio.client import Client

from contracts import messages, subjects
from contracts.messages import StatusChanged
from dispatcher.metrics import Metrics
from ops.runtime import wire

#: ValueError: a subject or a payload that would break out of its line.
_LOST = (nats.errors.Error, ConnectionError, ValueError)


def ack(reply: str) -> bytes:
    """Let the bus forget a message."""
    return wire.compose(reply, b"+ACK")


def put_back(reply: str, delay_seconds: float = 0.0) -> bytes:
    """Have a message brought again, to anyone, after a delay."""
    if delay_seconds <= 0:
        return wire.compose(reply, b"-NAK")
    return wire.compose(
        reply, b'-NAK {"delay": %d}' % int(delay_seconds * 1_000_000_000)
    )


def work_on(reply: str) -> bytes:
    """Start a message's acknowledgement wait again."""
    return wire.compose(reply, b"+WPI")


def terminate(reply: str, reason: str) -> bytes:
    """End a message; the server's advisory carries the reason."""
    return wire.compose(reply, b"+TERM " + reason.encode())


def termination(notification_id: UUID, why: str | None) -> str:
    """Return the reason by which the dead-letter worker knows the notification."""
    return f"{notification_id} {why}"


class Answers:
    """Sends over one connection; what cannot be sent now is counted and dropped."""

    def __init__(self, nc: Client, metrics: Metrics) -> None:
        self._nc = nc
        self._metrics = metrics

    async def send(self, answers: Sequence[bytes]) -> None:
        """Answer messages, all in one write."""
        try:
            await wire.send(self._nc, answers)
        except _LOST:
            self._metrics.answers_lost(len(answers))

    async def announce(self, changes: Sequence[StatusChanged]) -> None:
        """Publish status events, after the commit they tell of."""
        try:
            await wire.send(self._nc, map(_news, changes))
        except _LOST:
            self._metrics.events_lost(len(changes))


def _news(change: StatusChanged) -> bytes:
    subject = subjects.status(
        change.tenant, change.channel, change.status, change.notification_id
    )
    return wire.compose(subject, messages.encode(change))
