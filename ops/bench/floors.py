"""The floors: the same servers doing the bare minimum, with none of our services in between."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import aiohttp
import hypercorn.asyncio
import msgspec
import nats.errors
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

from contracts import messages, subjects, topology
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from ops.bench.load import Load, post_for
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.publisher import Outgoing, publish_group
from ops.runtime.sql import Statements

SQL = Statements(Path(__file__).with_name("floor.sql"))
LANE = Lane(Channel.SMS, Priority.NORMAL)


async def insert_and_publish(
    ledger: Ledger, bus: Bus, group_size: int, seconds: float
) -> float:
    """Return notifications/s of a loop that inserts a group and publishes it."""
    done = 0
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        await _insert_group(ledger, bus, group_size)
        done += group_size
    return done / elapsed


async def _insert_group(ledger: Ledger, bus: Bus, size: int) -> None:
    ids = [new_id() for _ in range(size)]
    words = [str(id_) for id_ in ids]
    await ledger.fetch(
        SQL.insert, ids, ["+15555550001"] * size, ["Your code is 123456"] * size, words
    )
    await publish_group(bus, [_outgoing(id_) for id_ in ids])


def _outgoing(notification_id: UUID) -> Outgoing:
    return Outgoing(
        subjects.notify(LANE),
        messages.encode(messages.NotificationQueued(notification_id=notification_id)),
        messages.queueing_id(notification_id, 2),
        {messages.CORRELATION_HEADER: str(notification_id)},
    )


async def fetch_claim_settle(
    ledger: Ledger, bus: Bus, count: int, group_size: int
) -> float:
    """Return notifications/s of a loop that fetches, claims, settles and acknowledges."""
    for _ in range(count // 1000):
        await _insert_group(ledger, bus, 1000)
    consumer = topology.lane_consumer(LANE)
    pull = await bus.js.pull_subscribe_bind(consumer.name, stream=consumer.stream)
    done = 0
    begun = time.perf_counter()
    while done < count:
        try:
            fetched = await pull.fetch(group_size, timeout=2)
        except nats.errors.TimeoutError:
            break
        ids = [
            msgspec.json.decode(
                m.data, type=messages.NotificationQueued
            ).notification_id
            for m in fetched
        ]
        claimed = await ledger.fetch(SQL.claim, ids)
        await ledger.fetch(
            SQL.settle,
            [row["id"] for row in claimed],
            [row["sequence"] for row in claimed],
        )
        for message in fetched:
            await message.ack()
        done += len(fetched)
    elapsed = time.perf_counter() - begun
    await pull.unsubscribe()
    return done / elapsed


async def bare_http(port: int, seconds: float, connections: int) -> Load:
    """Return the load an empty ASGI application answers under the gateway's own server."""
    stop = asyncio.Event()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.accesslog = None

    async def empty(
        scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] != "http":
            return
        await receive()
        await send(
            {
                "type": "http.response.start",
                "status": 202,
                "headers": [(b"content-length", b"2")],
            }
        )
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})

    serving = asyncio.create_task(
        hypercorn.asyncio.serve(empty, config, shutdown_trigger=stop.wait),
        name="bare-http",
    )
    await asyncio.sleep(0.5)
    try:
        return await post_for(
            f"http://127.0.0.1:{port}/",
            [b"{}"],
            seconds=seconds,
            connections=connections,
        )
    finally:
        stop.set()
        await serving


async def bare_sends(
    sandbox: str, seconds: float, concurrency: int, body: dict[str, str]
) -> float:
    """Return sends/s of a plain client loop on the sandbox.

    It is the client library, the session and the request of the webhook provider, with as
    many sends in flight as a dispatcher has, in one process and with nothing around them.
    """
    deadline = time.perf_counter() + seconds
    done = 0

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            id_ = str(new_id())
            async with session.post(
                f"{sandbox}/send",
                data=msgspec.json.encode(body),
                headers={"Idempotency-Key": id_, "X-Correlation-ID": id_},
                allow_redirects=False,
            ) as response:
                await response.read()
            if response.status != 202:
                raise SystemExit(f"the sandbox refused a send: {response.status}")
            done += 1

    begun = time.perf_counter()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "bench", "Content-Type": "application/json"},
    ) as session:
        await asyncio.gather(*(client(session) for _ in range(concurrency)))
    return done / (time.perf_counter() - begun)
