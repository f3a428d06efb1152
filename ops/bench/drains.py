"""Measures how fast one dispatcher empties a lane."""

import asyncio
import time
from collections.abc import AsyncIterator

from ops.bench import floors
from ops.bench.figures import Figure
from ops.bench.mesh import SEND, Mesh, through

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
    yield Figure(
        name="drain, no provider call",
        rate=await _drain(mesh, count, TOCSIN_DISPATCHER_PROVIDER="noop"),
        unit="ntf/s",
        floor=bare_loop,
        floor_name=f"bare fetch + claim + settle, groups of {GROUP}",
    )
    async with mesh.sandbox() as sandbox:
        bare_sends = await floors.bare_sends(
            sandbox, floor_seconds, SENDS_IN_FLIGHT, SEND
        )
        yield Figure(
            name="drain, HTTP sandbox",
            rate=await _drain(mesh, count, **through(sandbox)),
            unit="ntf/s",
            floor=bare_sends,
            floor_name="bare HTTP client loop on the sandbox",
        )


async def _drain(mesh: Mesh, count: int, **environment: str) -> float:
    """Fill the lane through the gateway, start one dispatcher, and time it to empty."""
    await mesh.clear()
    await mesh.fill(count)
    async with mesh.dispatcher(**environment):
        begun, first = time.perf_counter(), await mesh.waiting()
        moves = [move async for move in emptying(mesh)]
    return first / (moves[-1][0] - begun)


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
