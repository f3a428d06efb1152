"""Measures whether a long backlog makes a dispatcher grow or slow down."""

import time
from collections.abc import Sequence

from ops.bench.drains import emptying
from ops.bench.figures import Figure
from ops.bench.mesh import Mesh
from ops.bench.stack import listener

_MEGABYTE = 1 << 20
#: The rate at the end is to be within a tenth of that at the start, and memory flat.
_RATE_AT_LEAST = 0.9
_MEMORY_AT_MOST = 1.1


async def measure(mesh: Mesh, count: int) -> Figure:
    """Drain ``count`` notifications into nothing; compare the last tenth with the first."""
    await mesh.clear()
    await mesh.fill(count)
    async with mesh.dispatcher(TOCSIN_DISPATCHER_PROVIDER="noop") as address:
        process = listener(address)
        sizes = [process.memory_info().rss]
        moves = [(time.perf_counter(), await mesh.waiting())]
        async for move in emptying(mesh):
            moves.append(move)
            sizes.append(process.memory_info().rss)
    begun, first = moves[0]
    ended, _ = moves[-1]
    middle = next(i for i, (_, left) in enumerate(moves) if left <= first / 2)
    at_first, at_last = _rate(moves, 0.0, 0.1), _rate(moves, 0.9, 1.0)
    misses = []
    if at_last < _RATE_AT_LEAST * at_first:
        misses.append(f"slower at the end: {at_last / at_first:.0%} of the start")
    if sizes[-1] > _MEMORY_AT_MOST * sizes[middle]:
        misses.append("memory grew in the second half")
    return Figure(
        name=f"backlog of {count:,}, the last tenth",
        rate=at_last,
        unit="ntf/s",
        floor=at_first,
        floor_name="the first tenth",
        notes={
            "overall ntf/s": first / (ended - begun),
            "RSS at start MB": sizes[0] / _MEGABYTE,
            "in the middle": sizes[middle] / _MEGABYTE,
            "at the end": sizes[-1] / _MEGABYTE,
            "at most": max(sizes) / _MEGABYTE,
        },
        misses=misses,
    )


def _rate(moves: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Return notifications/s between two shares of the backlog."""
    first = moves[0][1]
    marks = [
        next((at, left) for at, left in moves if first - left >= share * first)
        for share in (begin, end)
    ]
    (begun, before), (ended, after) = marks
    return (before - after) / (ended - begun)
