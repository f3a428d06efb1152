"""Measures how fast one dispatcher empties a lane."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import psutil

from ops.bench import floors
from ops.bench.figures import Figure
from ops.bench.mesh import SEND, Mesh, through
from ops.bench.stack import listener, processor_seconds

GROUP = 500
#: As many as a dispatcher has.
SENDS_IN_FLIGHT = 200
_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 0.02


async def measure(
    mesh: Mesh, count: int, floor_seconds: float
) -> AsyncIterator[Figure]:
    """Drain ``count`` notifications into nothing, and again into a sandbox."""
    await mesh.clear()
    bare_loop = await floors.fetch_claim_settle(mesh.ledger, mesh.bus, count, GROUP)
    drained = await _drain(mesh, count, TOCSIN_DISPATCHER_PROVIDER="noop")
    yield Figure(
        name="drain, no provider call",
        rate=drained.rate,
        unit="ntf/s",
        floor=bare_loop,
        floor_name=f"bare fetch + claim + settle, groups of {GROUP}",
    )
    async with mesh.sandbox() as sandbox:
        bare = await _bare_sends(sandbox, floor_seconds)
        drained = await _drain(mesh, count, **through(sandbox))
        yield Figure(
            name="drain, HTTP sandbox",
            rate=drained.rate,
            unit="ntf/s",
            floor=bare.rate,
            floor_name="bare HTTP client loop on the sandbox",
            notes={
                "both bare loops in turn ntf/s": 1 / (1 / bare_loop + 1 / bare.rate),
                "processor µs a send": drained.processor_us,
                "of the bare loop": bare.processor_us,
            },
        )


class _Sent(NamedTuple):
    """How fast one process sent, and what each send took of its processor time."""

    rate: float
    processor_us: float


async def _bare_sends(sandbox: str, seconds: float) -> _Sent:
    process = psutil.Process()
    used = processor_seconds(process)
    begun = time.perf_counter()
    rate = await floors.bare_sends(sandbox, seconds, SENDS_IN_FLIGHT, SEND)
    count = rate * (time.perf_counter() - begun)
    return _Sent(rate, (processor_seconds(process) - used) / count * 1e6)


async def _drain(mesh: Mesh, count: int, **environment: str) -> _Sent:
    """Fill the lane through the gateway, start one dispatcher, and time it to empty."""
    await mesh.clear()
    await mesh.fill(count)
    async with mesh.dispatcher(**environment) as address:
        process = listener(address)
        used = processor_seconds(process)
        begun, first = time.perf_counter(), await mesh.waiting()
        moves = [move async for move in emptying(mesh)]
        used = processor_seconds(process) - used
    if not moves:
        raise SystemExit(f"{count:,} were drained before the first look: drain more")
    return _Sent(first / (moves[-1][0] - begun), used / first * 1e6)


async def emptying(mesh: Mesh) -> AsyncIterator[tuple[float, int]]:
    """Tell when how many were left, after each look that found fewer, until none are.

    The process ends when nothing moves for a minute.
    """
    left, moved_at = await mesh.waiting(), time.perf_counter()
    while left:
        await asyncio.sleep(_LOOK_SECONDS)
        now_left, now = await mesh.waiting(), time.perf_counter()
        if now_left < left:
            left, moved_at = now_left, now
            yield moved_at, left
        elif now - moved_at > _STALLED_SECONDS:
            raise SystemExit(f"the drain stalls with {left:,} left")
