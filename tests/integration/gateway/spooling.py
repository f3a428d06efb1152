"""Gateways whose ledger is away, and the scheduler's job that moves their spool."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from prometheus_client import CollectorRegistry

from contracts import topology
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.spool import SpoolDrain
from scheduler.spool_store import SpoolStore
from scheduler.store import Store
from tests.integration.gateway.blocking import closed_to_everyone
from tests.integration.gateway.gateways import RunningGateway
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import stored
from tests.servers import Stack
from tests.waiting import until

SPOOL = topology.SPOOL.name


class Drain:
    """A scheduler's job that moves the spool, and what it counted."""

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        publisher = Publisher(bus, Store(ledger), metrics, late_seconds=5.0)
        self.job = SpoolDrain(bus, SpoolStore(ledger), publisher, metrics)
        self._bus = bus

    async def until_empty(self) -> None:
        async with running(self.job.step):
            await until(lambda: self._is_empty(), 20)

    async def _is_empty(self) -> bool:
        return await stored(self._bus, SPOOL) == 0

    def moved(self, outcome: str) -> float:
        name = "tocsin_scheduler_spool_moved_notifications_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0


@asynccontextmanager
async def away(servers: Stack, *gateways: RunningGateway) -> AsyncIterator[None]:
    """Close the ledger to everyone, and return when the gateways know; the same at the end."""
    async with closed_to_everyone(servers, gateways[0].ledger):
        await until(lambda: all(map(is_away, gateways)))
        yield
    await until(lambda: not any(map(is_away, gateways)))


def is_away(gateway: RunningGateway) -> bool:
    return gateway.metric("tocsin_ledger_away") == 1


async def ids_of(responses: Sequence[aiohttp.ClientResponse]) -> list[str]:
    return [(await response.json())["id"] for response in responses]


async def statuses(ledger: Ledger) -> dict[str, str]:
    rows = await ledger.fetch("SELECT id::text, status FROM notification")
    return {row["id"]: row["status"] for row in rows}
