"""Measures how long urgent notifications take while the lane below them is full."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from ops.bench.figures import Figure
from ops.bench.mesh import NOTIFICATION, Mesh, through

_URGENT = msgspec.json.encode({**NOTIFICATION, "priority": "high"})
_JSON = {"Content-Type": "application/json"}
_PER_SECOND = 25
_SETTLED_WITHIN_SECONDS = 60.0
_AT_MOST_TIMES = 2  #: what p99 may be over a backlog, against its idle value
_LATENCIES = """
SELECT percentile_cont(ARRAY[0.5, 0.99])
       WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM delivered_at - created_at)) AS ms
  FROM notification
 WHERE priority = 'high'
"""
_UNSENT = "SELECT count(*) FROM notification WHERE priority = 'high' AND status <> 'delivered'"


class Case(msgspec.Struct, frozen=True):
    """One way a channel may be limited."""

    name: str
    backlog: int
    channel_rate: str = "0"
    answer_ms: int = 0


CASES = (
    Case("paced at 100/s", 10_000, channel_rate="100"),
    Case("unpaced, answers in 50 ms", 200_000, answer_ms=50),
    Case("unpaced, answers at once", 400_000),
)


async def measure(mesh: Mesh, seconds: float) -> AsyncIterator[Figure]:
    """Post high notifications to an idle channel, and to one with a deep low lane."""
    async with mesh.sandbox() as sandbox:
        for case in CASES:
            await _answer_after(sandbox, case.answer_ms)
            await mesh.clear()
            idle = await _latencies(mesh, sandbox, case, seconds)
            await mesh.clear()
            await mesh.fill(case.backlog, priority="low")
            await mesh.write_out()
            loaded = await _latencies(mesh, sandbox, case, seconds)
            misses = []
            if loaded[1] > _AT_MOST_TIMES * idle[1]:
                misses.append(f"more than {_AT_MOST_TIMES} times its idle value")
            yield Figure(
                name=f"high over a low backlog, {case.name}",
                rate=loaded[1],
                unit="ms p99",
                floor=idle[1],
                floor_name="the same without a backlog",
                notes={
                    "p50 ms": loaded[0],
                    "idle p50 ms": idle[0],
                    "low left": await mesh.waiting(),
                },
                misses=misses,
            )


async def _latencies(
    mesh: Mesh, sandbox: str, case: Case, seconds: float
) -> tuple[float, float]:
    """Return milliseconds from acceptance to delivery, p50 and p99, by the ledger's clock."""
    rate = {"TOCSIN_DISPATCHER_CHANNEL_RATE": case.channel_rate}
    async with mesh.gateway() as gateway, mesh.dispatcher(**through(sandbox), **rate):
        await _post(gateway, seconds)
        async with asyncio.timeout(_SETTLED_WITHIN_SECONDS):
            while await mesh.ledger.pool.fetchval(_UNSENT):
                await asyncio.sleep(0.1)
    p50, p99 = await mesh.ledger.pool.fetchval(_LATENCIES)
    return p50, p99


async def _post(gateway: str, seconds: float) -> None:
    """Post at an even rate, whatever the answers take."""
    begun = time.perf_counter()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for number in range(int(seconds * _PER_SECOND)):
            await asyncio.sleep(begun + number / _PER_SECOND - time.perf_counter())
            group.create_task(_post_one(http, gateway), name="post")


async def _post_one(http: aiohttp.ClientSession, gateway: str) -> None:
    url = f"{gateway}/api/v1/notifications"
    async with http.post(url, data=_URGENT, headers=_JSON) as response:
        response.raise_for_status()
        await response.read()


async def _answer_after(sandbox: str, milliseconds: int) -> None:
    behaviour = msgspec.json.encode({"latency_ms": milliseconds})
    async with (
        aiohttp.ClientSession() as http,
        http.put(f"{sandbox}/behaviour", data=behaviour, headers=_JSON) as response,
    ):
        response.raise_for_status()
