"""What the bus says of messages it has given up, in one lane, and the letters made of them."""

from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from contracts import messages, topology
from contracts.channels import Channel, Lane, Priority
from contracts.messages import DeadLettered
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.seeds import count, stored

LANE = Lane(Channel.SMS, Priority.HIGH)
ADVISORY = topology.ADVISORY.name
DLQ = topology.DLQ.name


async def seed(
    ledger: Ledger, bus: Bus | None, number: int, **overrides: Any
) -> list[UUID]:
    return await seed_notifications(
        ledger, bus, number, channel=LANE.channel, priority=LANE.priority, **overrides
    )


async def handled(bus: Bus) -> bool:
    return await stored(bus, ADVISORY) == 0


async def letters(bus: Bus) -> list[DeadLettered]:
    """Return what the DLQ holds."""
    found = []
    for sequence in range(1, await stored(bus, DLQ) + 1):
        message = await bus.js.get_msg(DLQ, seq=sequence)
        letter = messages.decode(message.data or b"")
        assert isinstance(letter, DeadLettered)
        found.append(letter)
    return found


async def unpublished(ledger: Ledger) -> int:
    return await count(ledger, "dead_letter WHERE published_at IS NULL")


async def is_stored(bus: Bus, stream: str, number: int) -> bool:
    return await stored(bus, stream) == number


def sample(
    registry: CollectorRegistry, name: str, label: str, value: str
) -> float | None:
    return registry.get_sample_value(f"tocsin_scheduler_{name}", {label: value})
