"""What the mesh holds after a run: the ledger, the bus, and the provider's receipts."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import nats
import nats.errors
from nats.aio.client import Client

from contracts import topology
from contracts.settings import nats_servers
from contracts.topology import Retention
from tests.waiting import until


class Row(NamedTuple):
    """A notification in the ledger."""

    id: str
    content: str
    batch_id: str | None
    status: str
    sequence: int
    attempts: int
    failure_class: str | None


class Event(NamedTuple):
    """One line of a trace; sequence is None where the status did not change."""

    at: datetime
    sequence: int | None
    name: str
    details: Mapping[str, Any]


class Receipt(NamedTuple):
    """One request the provider has received."""

    at: datetime
    content: str
    accepted: bool


@dataclass(kw_only=True)
class Records:
    """All of it, read once."""

    rows: dict[str, Row]
    traces: dict[str, list[Event]]  #: by notification, in the order of the trace
    receipts: dict[str, list[Receipt]]  #: by idempotency key, oldest first
    dead_letters: list[str]  #: notification ids in the ledger
    on_dlq: list[str]  #: notification ids on the bus


@dataclass(kw_only=True)
class Unrest:
    """What still has to happen somewhere; empty when the mesh is idle."""

    counts: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def __str__(self) -> str:
        return ", ".join(f"{k} {v}" for k, v in self.counts.items() if v) or "idle"


class Recorder:
    """Reads the ledger and the bus behind the mesh's back."""

    def __init__(self, ledger: asyncpg.Connection, bus: Client, sandbox: str) -> None:
        self._ledger = ledger
        self._bus = bus
        self._sandbox = sandbox

    async def unrest(self) -> Unrest:
        """Count what is not finished in the ledger and on the bus."""
        row = await self._ledger.fetchrow(
            """
            SELECT (SELECT count(*) FROM notification WHERE queued_at IS NOT NULL) AS on_bus,
                   (SELECT count(*) FROM notification WHERE due_at IS NOT NULL) AS waiting,
                   (SELECT count(*) FROM outbox_group) AS outbox_groups,
                   (SELECT count(*) FROM dead_letter WHERE published_at IS NULL)
                     AS unpublished_dead_letters
            """
        )
        assert row is not None
        js = self._bus.jetstream()
        queues = [s for s in topology.STREAMS if s.retention is Retention.WORK_QUEUE]
        counts = dict(row)
        for queue in queues:
            try:
                stream = await js.stream_info(queue.name)
            except nats.errors.Error:
                counts[f"{queue.name} does not answer"] = 1
            else:
                counts[queue.name] = stream.state.messages
        return Unrest(counts=counts)

    async def read(self) -> Records:
        """Return everything; the mesh must be idle."""
        rows = {
            str(r["id"]): Row(
                id=str(r["id"]),
                content=r["content"],
                batch_id=str(r["batch_id"]) if r["batch_id"] else None,
                status=r["status"],
                sequence=r["sequence"],
                attempts=r["attempts"],
                failure_class=r["failure_class"],
            )
            for r in await self._ledger.fetch("SELECT * FROM notification")
        }
        letters = await self._ledger.fetch("SELECT notification_id FROM dead_letter")
        return Records(
            rows=rows,
            traces=await self._traces(),
            receipts=await self._receipts(),
            dead_letters=[str(letter["notification_id"]) for letter in letters],
            on_dlq=await self._dlq(),
        )

    async def _traces(self) -> dict[str, list[Event]]:
        traces: dict[str, list[Event]] = defaultdict(list)
        for event in await self._ledger.fetch(
            """
            SELECT notification_id, uuid_extract_timestamp(id) AS at, sequence, event, details
              FROM notification_event ORDER BY notification_id, id
            """
        ):
            traces[str(event["notification_id"])].append(
                Event(
                    at=event["at"],
                    sequence=event["sequence"],
                    name=event["event"],
                    details=json.loads(event["details"] or "{}"),
                )
            )
        return traces

    async def _receipts(self) -> dict[str, list[Receipt]]:
        url = f"{self._sandbox}/messages?limit=100000"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
            messages = await response.json()
        receipts: dict[str, list[Receipt]] = defaultdict(list)
        for message in reversed(messages):
            receipts[message["idempotency_key"]].append(
                Receipt(
                    at=datetime.fromisoformat(message["received_at"]),
                    content=message["content"],
                    accepted=200 <= (message["answer"] or 0) < 300,
                )
            )
        return receipts

    async def _dlq(self) -> list[str]:
        js = self._bus.jetstream()
        expected = (await js.stream_info(topology.DLQ.name)).state.messages
        subscription = await js.subscribe(
            topology.DLQ.subjects[0], stream=topology.DLQ.name, ordered_consumer=True
        )
        ids = []
        try:
            for _ in range(expected):
                message = await subscription.next_msg(timeout=10)
                ids.append(str(json.loads(message.data)["notification_id"]))
        finally:
            await subscription.unsubscribe()
        return ids


async def _connected(dsn: str) -> "asyncpg.Connection[asyncpg.Record] | None":
    """Return a connection to the ledger, or None while it is starting again."""
    try:
        return await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return None


@asynccontextmanager
async def recorder(addresses: Mapping[str, Any]) -> AsyncIterator[Recorder]:
    """Lend a recorder for the mesh at these addresses."""
    ledger = await until(lambda: _connected(addresses["postgres"]), 30)
    assert ledger is not None
    try:
        bus = await asyncio.wait_for(nats.connect(nats_servers(addresses["nats"])), 10)
        try:
            yield Recorder(ledger, bus, addresses["sandbox"])
        finally:
            await bus.close()
    finally:
        await ledger.close()
