"""Publishes status changes at a steady rate, from a process of its own: URL, rate, seconds."""

import asyncio
import sys
import time

import nats

from console.events import StatusReported
from contracts import messages, subjects
from tests.unit.console.world import NOON, BusyMesh

_STEP_SECONDS = 0.02


def frames() -> list[tuple[str, bytes]]:
    """Return some minutes of a busy mesh."""
    mesh = BusyMesh()
    told: list[tuple[str, bytes]] = []
    for second in range(60):
        for _, event in mesh.second(NOON + second):
            if isinstance(event, StatusReported):
                change = event.change
                subject = subjects.status(
                    change.tenant, change.channel, change.status, change.notification_id
                )
                told.append((subject, messages.encode(change)))
    return told


async def publish(url: str, rate: int, seconds: float) -> int:
    """Publish at ``rate`` a second and return how many there were."""
    told = frames()
    client = await nats.connect(url)
    begun, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        for number in range(sent, int(elapsed * rate)):
            await client.publish(*told[number % len(told)])
        sent = int(elapsed * rate)
        await client.flush()
        await asyncio.sleep(_STEP_SECONDS)
    await client.close()
    return sent


if __name__ == "__main__":
    url, rate, seconds = sys.argv[1:]
    sys.stdout.write(str(asyncio.run(publish(url, int(rate), float(seconds)))))
