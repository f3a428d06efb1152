"""The mesh that a bench measures: real servers, and services started on them as needed."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from contracts import topology
from ops.bench import stack
from ops.embedded import Servers, servers
from ops.runtime.bus import Bus, open_bus
from ops.runtime.ledger import Ledger, open_ledger

BATCH = 1000

NOTIFICATION = {
    "channel": "sms",
    "recipient": "+15555550001",
    "content": "Your code is 123456",
}
#: The same as a provider gets it.
SEND = {
    "to": NOTIFICATION["recipient"],
    "channel": NOTIFICATION["channel"],
    "content": NOTIFICATION["content"],
}
SINGLE = msgspec.json.encode(NOTIFICATION)
FULL_BATCH = msgspec.json.encode({"notifications": [NOTIFICATION] * BATCH})
_JSON = {"Content-Type": "application/json"}


class Mesh:
    """One run's servers, with their promises kept (fsync on), and connections to them."""

    def __init__(self, running: Servers, ledger: Ledger, bus: Bus, logs: Path) -> None:
        self.ledger = ledger
        self.bus = bus
        self.servers = running
        self.logs = logs

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path) -> "AsyncIterator[Mesh]":
        """Start the servers and prepare them; stop them at the end."""
        async with servers(folder / "data") as running:
            await stack.prepare(running)
            settings = stack.settings(running)
            async with (
                open_ledger(settings) as ledger,
                open_bus(settings, "bench", _end) as bus,
            ):
                await bus.connected.wait()
                yield cls(running, ledger, bus, folder)

    def gateway(self, **environment: str) -> AbstractAsyncContextManager[str]:
        """Run a gateway: without keys and limits unless the environment says otherwise."""
        return stack.running(
            "gateway",
            self.servers,
            self.logs,
            "TOCSIN_GATEWAY_PORT",
            **{"TOCSIN_GATEWAY_RATE_LIMIT": "0", **environment},
        )

    def sandbox(self) -> AbstractAsyncContextManager[str]:
        """Run a sandbox with a small inbox."""
        return stack.running(
            "ops.sandbox",
            self.servers,
            self.logs,
            "TOCSIN_SANDBOX_PORT",
            TOCSIN_SANDBOX_KEEP="1000",
        )

    def dispatcher(self, **environment: str) -> AbstractAsyncContextManager[str]:
        """Run a dispatcher: unlimited unless the environment says otherwise."""
        return stack.running(
            "dispatcher",
            self.servers,
            self.logs,
            "TOCSIN_DISPATCHER_METRICS_PORT",
            **{"TOCSIN_DISPATCHER_CHANNEL_RATE": "0", **environment},
        )

    async def fill(self, count: int, **members: Any) -> None:
        """Queue notifications through a gateway; ``count`` is a multiple of ``BATCH``."""
        body = msgspec.json.encode(
            {"notifications": [{**NOTIFICATION, **members}] * BATCH}
        )
        before = await self.waiting()
        async with self.gateway() as gateway, aiohttp.ClientSession() as http:
            url = f"{gateway}/api/v1/notifications/batch"
            for _ in range(count // BATCH):
                async with http.post(url, data=body, headers=_JSON) as response:
                    response.raise_for_status()
            while await self.waiting() < before + count:
                await asyncio.sleep(0.05)

    async def write_out(self) -> None:
        """Have the disk take what was filled in, which otherwise delays commits half a minute on."""
        await self.ledger.pool.execute("CHECKPOINT")
        await asyncio.to_thread(os.sync)

    async def waiting(self) -> int:
        """Return how many messages are on the bus and not finished."""
        info = await self.bus.js.stream_info(topology.NOTIFY.name)
        return info.state.messages

    async def clear(self) -> None:
        """Forget everything measured so far, so that each figure starts alike."""
        await self.bus.js.purge_stream(topology.NOTIFY.name)
        await self.bus.js.purge_stream(topology.STATUS.name)
        await self.ledger.pool.execute(
            "TRUNCATE notification, notification_event, batch, idempotency_key, outbox_group"
        )
        await self.write_out()


def through(sandbox: str) -> dict[str, str]:
    """Return the environment of a dispatcher that sends to a sandbox."""
    return {
        "TOCSIN_WEBHOOK_URL": f"{sandbox}/send",
        "TOCSIN_WEBHOOK_ALLOW_PRIVATE": "true",
    }


def _end(reason: str) -> None:
    raise SystemExit(reason)
