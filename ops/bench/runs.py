"""The measurements, in the order they are taken."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from pathlib import Path

import aiohttp
import msgspec

from contracts import topology
from contracts.keys import DEFAULT_TENANT, Role
from ops import keys
from ops.bench import floors, live, stack
from ops.bench.figures import Figure
from ops.bench.load import Load, post_for
from ops.bench.waiting import WaitingBench
from ops.embedded import Servers, ports, servers
from ops.runtime.bus import Bus, open_bus
from ops.runtime.ledger import Ledger, open_ledger

CONNECTIONS = 64
BATCH = 1000
GROUP = 500
TURNS = 4
_STALLED_SECONDS = 60.0

NOTIFICATION = {
    "channel": "sms",
    "recipient": "+15555550001",
    "content": "Your code is 123456",
}
SINGLE = msgspec.json.encode(NOTIFICATION)
FULL_BATCH = msgspec.json.encode({"notifications": [NOTIFICATION] * BATCH})


class Part(StrEnum):
    """What can be measured alone."""

    ACCEPT = "accept"
    DRAIN = "drain"
    LIVE = "live"
    WAITING = "waiting"


#: What a run measures unless it is told; the other parts take minutes.
USUAL = (Part.ACCEPT, Part.DRAIN, Part.LIVE)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    seconds: float
    drain: int


class Bench:
    """One run over one set of servers."""

    def __init__(
        self, running: Servers, ledger: Ledger, bus: Bus, logs: Path, plan: Plan
    ) -> None:
        self._servers = running
        self._ledger = ledger
        self._bus = bus
        self._logs = logs
        self._plan = plan

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, plan: Plan) -> "AsyncIterator[Bench]":
        """Start servers with their promises kept (fsync on), and connect to them."""
        async with servers(folder / "data") as running:
            await stack.prepare(running)
            settings = stack.settings(running)
            async with (
                open_ledger(settings) as ledger,
                open_bus(settings, "bench", _end) as bus,
            ):
                await bus.connected.wait()
                yield cls(running, ledger, bus, folder, plan)

    async def run(self, parts: Collection[Part]) -> AsyncIterator[Figure]:
        """Take the measurements that are asked for."""
        if Part.ACCEPT in parts:
            async for figure in self._accepts():
                yield figure
        if Part.DRAIN in parts:
            async for figure in self._drains():
                yield figure
        if Part.LIVE in parts:
            async for figure in self._follows():
                yield figure
        if Part.WAITING in parts:
            await self._clear()
            waiting = WaitingBench(self._servers, self._ledger, self._bus, self._logs)
            async for figure in waiting.run():
                yield figure

    async def _accepts(self) -> AsyncIterator[Figure]:
        """Measure floors and the gateway in turn; each floor runs with no service beside it."""
        bare_group = await self._insert_floor(CONNECTIONS)
        bare_batch = await self._insert_floor(BATCH)
        bare_http = await floors.bare_http(
            ports.choose(1)[0], self._plan.seconds / 2, CONNECTIONS
        )
        async with self._gateway() as gateway:
            url = f"{gateway}/api/v1/notifications"
            single = await post_for(
                url, [SINGLE], seconds=self._plan.seconds, connections=CONNECTIONS
            )
            yield self._single(single, bare_group, bare_http)
            batch = await post_for(
                f"{url}/batch",
                [FULL_BATCH],
                seconds=self._plan.seconds,
                connections=4,
            )
            yield self._batch(batch, bare_batch)
        yield await self._guarded()

    async def _insert_floor(self, group: int) -> float:
        rate = await floors.insert_and_publish(
            self._ledger, self._bus, group, self._plan.seconds / 2
        )
        await self._clear()
        return rate

    def _single(self, load: Load, bare: float, http: Load) -> Figure:
        return Figure(
            name="accept, single posts",
            rate=_accepted(load),
            unit="req/s",
            floor=bare,
            floor_name=f"bare insert + publish, groups of {CONNECTIONS}",
            notes={
                "p50 ms": load.p50_ms,
                "p99 ms": load.p99_ms,
                "empty HTTP server req/s": http.requests_per_second,
                "share of it": _accepted(load) / http.requests_per_second,
            },
        )

    def _batch(self, load: Load, bare: float) -> Figure:
        return Figure(
            name=f"accept, batches of {BATCH:,}",
            rate=_accepted(load) * BATCH,
            unit="ntf/s",
            floor=bare,
            floor_name=f"bare insert + publish, groups of {BATCH:,}",
            notes={"p50 ms": load.p50_ms, "p99 ms": load.p99_ms},
        )

    async def _guarded(self) -> Figure:
        """Compare posts that are authenticated, limited and remembered with plain ones.

        The two take turns, so that whatever else the machine does befalls both.
        """
        await self._clear()
        key, _ = await keys.create(DEFAULT_TENANT, "bench", Role.SENDER)
        authorization = {"Authorization": f"Bearer {key}"}
        turn_seconds = self._plan.seconds / TURNS
        plain: list[Load] = []
        guarded: list[Load] = []
        async with (
            self._gateway() as open_gateway,
            self._gateway(
                TOCSIN_GATEWAY_REQUIRE_KEYS="true",
                TOCSIN_GATEWAY_RATE_LIMIT="600000000",
            ) as guarded_gateway,
        ):
            for _ in range(TURNS):
                for loads, gateway, headers in (
                    (plain, open_gateway, {}),
                    (guarded, guarded_gateway, authorization),
                ):
                    load = await post_for(
                        f"{gateway}/api/v1/notifications",
                        [SINGLE],
                        seconds=turn_seconds,
                        connections=CONNECTIONS,
                        headers=headers,
                        with_keys=loads is guarded,
                    )
                    loads.append(load)
        return Figure(
            name="accept, keys + limits + idempotency",
            rate=sum(map(_accepted, guarded)) / TURNS,
            unit="req/s",
            floor=sum(map(_accepted, plain)) / TURNS,
            floor_name="single posts without the three, by turns",
            notes={
                "p50 ms": max(load.p50_ms for load in guarded),
                "p99 ms": max(load.p99_ms for load in guarded),
            },
        )

    async def _drains(self) -> AsyncIterator[Figure]:
        await self._clear()
        bare_loop = await floors.fetch_claim_settle(
            self._ledger, self._bus, self._plan.drain, GROUP
        )
        yield Figure(
            name="drain, no provider call",
            rate=await self._drain(TOCSIN_DISPATCHER_PROVIDER="noop"),
            unit="ntf/s",
            floor=bare_loop,
            floor_name=f"bare fetch + claim + settle, groups of {GROUP}",
        )
        async with stack.running(
            "ops.sandbox",
            self._servers,
            self._logs,
            "TOCSIN_SANDBOX_PORT",
            TOCSIN_SANDBOX_KEEP="1000",
        ) as sandbox:
            bare_sends = await floors.bare_sends(
                sandbox, self._plan.seconds / 2, 100, [NOTIFICATION]
            )
            yield Figure(
                name="drain, HTTP sandbox",
                rate=await self._drain(
                    TOCSIN_WEBHOOK_URL=f"{sandbox}/send",
                    TOCSIN_WEBHOOK_ALLOW_PRIVATE="true",
                ),
                unit="ntf/s",
                floor=bare_sends,
                floor_name="bare HTTP client loop on the sandbox",
            )

    async def _follows(self) -> AsyncIterator[Figure]:
        await self._clear()
        live.raise_file_limit()
        async with self._gateway() as gateway:
            bench = live.LiveBench(gateway, self._bus, NOTIFICATION)
            async for figure in bench.run():
                yield figure

    async def _drain(self, **environment: str) -> float:
        """Fill the lane through the gateway, start one dispatcher, and time it to empty."""
        await self._clear()
        async with self._gateway() as gateway:
            await self._fill(gateway)
        return await self._time_dispatcher(environment)

    async def _fill(self, gateway: str) -> None:
        url = f"{gateway}/api/v1/notifications/batch"
        async with aiohttp.ClientSession() as http:
            for _ in range(self._plan.drain // BATCH):
                headers = {"Content-Type": "application/json"}
                async with http.post(url, data=FULL_BATCH, headers=headers) as response:
                    response.raise_for_status()
        while await self._waiting() < self._plan.drain:
            await asyncio.sleep(0.05)

    async def _time_dispatcher(self, environment: dict[str, str]) -> float:
        async with stack.running(
            "dispatcher",
            self._servers,
            self._logs,
            "TOCSIN_DISPATCHER_METRICS_PORT",
            TOCSIN_DISPATCHER_CHANNEL_RATE="0",
            **environment,
        ):
            left = first = await self._waiting()
            begun = last_moved = time.perf_counter()
            while left:
                await asyncio.sleep(0.02)
                now_left = await self._waiting()
                if now_left < left:
                    left, last_moved = now_left, time.perf_counter()
                elif time.perf_counter() - last_moved > _STALLED_SECONDS:
                    raise SystemExit(f"the drain stalls with {left:,} left")
            return first / (last_moved - begun)

    async def _waiting(self) -> int:
        info = await self._bus.js.stream_info(topology.NOTIFY.name)
        return info.state.messages

    async def _clear(self) -> None:
        """Forget everything measured so far, so that each figure starts alike."""
        await self._bus.js.purge_stream(topology.NOTIFY.name)
        await self._bus.js.purge_stream(topology.STATUS.name)
        await self._ledger.pool.execute(
            "TRUNCATE notification, notification_event, batch, idempotency_key, outbox_group"
        )
        await self._ledger.pool.execute("CHECKPOINT")

    def _gateway(self, **environment: str) -> AbstractAsyncContextManager[str]:
        """Run a gateway: without keys and limits unless the environment says otherwise."""
        return stack.running(
            "gateway",
            self._servers,
            self._logs,
            "TOCSIN_GATEWAY_PORT",
            **{"TOCSIN_GATEWAY_RATE_LIMIT": "0", **environment},
        )


def _accepted(load: Load) -> float:
    refused = {status: n for status, n in load.statuses.items() if status != 202}
    if refused:
        raise SystemExit(f"the gateway refused requests of the bench: {refused}")
    return load.requests_per_second


def _end(reason: str) -> None:
    raise SystemExit(reason)
