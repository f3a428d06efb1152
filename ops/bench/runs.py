"""The measurements, in the order they are taken."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from contracts.keys import DEFAULT_TENANT, Role
from ops import keys
from ops.bench import backlog, drains, floors, live, urgency
from ops.bench.figures import Figure
from ops.bench.load import Load, post_for
from ops.bench.mesh import BATCH, FULL_BATCH, NOTIFICATION, SINGLE, Mesh
from ops.bench.waiting import WaitingBench
from ops.embedded import ports

CONNECTIONS = 64
TURNS = 4
#: Long enough that the first of them, which find the machine full, are not one in a hundred.
URGENCY_SECONDS = 30.0


class Part(StrEnum):
    """What can be measured alone."""

    ACCEPT = "accept"
    DRAIN = "drain"
    LIVE = "live"
    WAITING = "waiting"
    URGENCY = "urgency"
    BACKLOG = "backlog"


#: What a run measures unless it is told; the other parts take minutes.
USUAL = (Part.ACCEPT, Part.DRAIN, Part.LIVE)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    seconds: float
    drain: int
    backlog: int


class Bench:
    """One run over one set of servers."""

    def __init__(self, mesh: Mesh, plan: Plan) -> None:
        self._mesh = mesh
        self._plan = plan

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, plan: Plan) -> "AsyncIterator[Bench]":
        """Start servers and connect to them."""
        async with Mesh.opened(folder) as mesh:
            yield cls(mesh, plan)

    async def run(self, parts: Collection[Part]) -> AsyncIterator[Figure]:
        """Take the measurements that are asked for."""
        if Part.ACCEPT in parts:
            async for figure in self._accepts():
                yield figure
        if Part.DRAIN in parts:
            seconds = self._plan.seconds / 2
            async for figure in drains.measure(self._mesh, self._plan.drain, seconds):
                yield figure
        if Part.LIVE in parts:
            async for figure in self._follows():
                yield figure
        if Part.WAITING in parts:
            await self._mesh.clear()
            mesh = self._mesh
            waiting = WaitingBench(mesh.servers, mesh.ledger, mesh.bus, mesh.logs)
            async for figure in waiting.run():
                yield figure
        if Part.URGENCY in parts:
            async for figure in urgency.measure(self._mesh, URGENCY_SECONDS):
                yield figure
        if Part.BACKLOG in parts:
            yield await backlog.measure(self._mesh, self._plan.backlog)

    async def _accepts(self) -> AsyncIterator[Figure]:
        """Measure floors and the gateway in turn; each floor runs with no service beside it."""
        bare_group = await self._insert_floor(CONNECTIONS)
        bare_batch = await self._insert_floor(BATCH)
        bare_http = await floors.bare_http(
            ports.choose(1)[0], self._plan.seconds / 2, CONNECTIONS
        )
        async with self._mesh.gateway() as gateway:
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
            self._mesh.ledger, self._mesh.bus, group, self._plan.seconds / 2
        )
        await self._mesh.clear()
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
        await self._mesh.clear()
        key, _ = await keys.create(DEFAULT_TENANT, "bench", Role.SENDER)
        authorization = {"Authorization": f"Bearer {key}"}
        turn_seconds = self._plan.seconds / TURNS
        plain: list[Load] = []
        guarded: list[Load] = []
        async with (
            self._mesh.gateway() as open_gateway,
            self._mesh.gateway(
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

    async def _follows(self) -> AsyncIterator[Figure]:
        await self._mesh.clear()
        live.raise_file_limit()
        async with self._mesh.gateway() as gateway:
            bench = live.LiveBench(gateway, self._mesh.bus, NOTIFICATION)
            async for figure in bench.run():
                yield figure


def _accepted(load: Load) -> float:
    refused = {status: n for status, n in load.statuses.items() if status != 202}
    if refused:
        raise SystemExit(f"the gateway refused requests of the bench: {refused}")
    return load.requests_per_second
