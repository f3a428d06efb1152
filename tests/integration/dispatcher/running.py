"""Dispatchers inside a test's own process, and questions to ask of what they did."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from dispatcher import app
from dispatcher.settings import DispatcherSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.service import Service, open_service

ROOT = Path(__file__).parents[3]


def dispatcher_settings(
    shared: MeshSettings, url: str, **overrides: Any
) -> DispatcherSettings:
    """Return settings of a dispatcher whose webhook, set in the environment, is at ``url``."""
    os.environ["TOCSIN_WEBHOOK_URL"] = url
    os.environ["TOCSIN_WEBHOOK_ALLOW_PRIVATE"] = "true"
    return DispatcherSettings.model_validate(
        {
            **shared.model_dump(mode="json"),
            "dispatcher_metrics_port": 0,
            "dispatcher_channel_rate": 0,
            "drain_seconds": 5,
            **overrides,
        }
    )


@dataclass
class Running:
    """A dispatcher under test."""

    service: Service
    task: "asyncio.Task[None]"

    async def stop(self) -> None:
        """Tell it to stop, and wait until it has drained."""
        self.service.stopping.set()
        await self.task


@asynccontextmanager
async def running_dispatcher(
    settings: DispatcherSettings, name: str = "one"
) -> AsyncIterator[Running]:
    """Run a dispatcher until the block is left."""
    settings = settings.model_copy(update={"instance": name})
    async with open_service("dispatcher", settings) as service:
        task = asyncio.create_task(app.run(settings, service), name="dispatcher")
        running = Running(service, task)
        try:
            yield running
        finally:
            service.stopping.set()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def row_of(ledger: Ledger, id_: UUID) -> dict[str, Any]:
    rows = await ledger.fetch("SELECT * FROM notification WHERE id = $1", id_)
    return dict(rows[0])


async def statuses(ledger: Ledger, ids: Sequence[UUID]) -> set[str]:
    rows = await ledger.fetch(
        "SELECT DISTINCT status FROM notification WHERE id = ANY($1)", ids
    )
    return {row["status"] for row in rows}


async def have_status(ledger: Ledger, ids: Sequence[UUID], status: str) -> bool:
    return await statuses(ledger, ids) == {status}


async def trace_of(ledger: Ledger, id_: UUID) -> list[str]:
    rows = await ledger.fetch(
        "SELECT event FROM notification_event WHERE notification_id = $1 ORDER BY id",
        id_,
    )
    return [row["event"] for row in rows]


async def details_of(ledger: Ledger, id_: UUID, event: str) -> list[dict[str, Any]]:
    rows = await ledger.fetch(
        "SELECT details FROM notification_event"
        " WHERE notification_id = $1 AND event = $2 AND details IS NOT NULL ORDER BY id",
        id_,
        event,
    )
    return [json.loads(row["details"]) for row in rows]


async def dead_letters(ledger: Ledger) -> list[dict[str, Any]]:
    return [dict(row) for row in await ledger.fetch("SELECT * FROM dead_letter")]


async def waits_for_a_lock(ledger: Ledger) -> bool:
    """Say whether a statement of anybody is held up by another."""
    rows = await ledger.fetch(
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(rows)


async def messages_on_bus(bus: Bus) -> int:
    return (await bus.js.stream_info(NOTIFY.name)).state.messages


async def bus_is_empty(bus: Bus) -> bool:
    return await messages_on_bus(bus) == 0


@contextmanager
def dispatcher_process(
    environment: dict[str, str], url: str, **overrides: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a dispatcher as a process of its own, to be killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dispatcher"],
        env={
            **environment,
            "TOCSIN_WEBHOOK_URL": url,
            "TOCSIN_WEBHOOK_ALLOW_PRIVATE": "true",
            "TOCSIN_DISPATCHER_METRICS_PORT": "0",
            "TOCSIN_DISPATCHER_CHANNEL_RATE": "0",
            **overrides,
        },
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
