"""Carries a fault script out against a mesh, and keeps what really happened."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import psutil

from tests.acceptance.chaos.faults import DISK, LEADERS, STREAM, Fault, Kind, Struck
from tests.acceptance.chaos.fullness import Disk, full_stream
from tests.acceptance.chaos.nodes import Nodes
from tests.acceptance.mesh import Mesh, frozen

_POLL_SECONDS = 0.05
_COMES_BACK_WITHIN_SECONDS = 15.0


class Striker:
    """Strikes a mesh, its bus (`nodes`) and the disk of its NATS, if it has one of its own."""

    def __init__(self, mesh: Mesh, nodes: Nodes, disk: Disk | None) -> None:
        self._mesh = mesh
        self._nodes = nodes
        self._disk = disk
        self.struck: list[Struck] = []
        self.missed: list[Fault] = []

    async def run(self, faults: Iterable[Fault]) -> None:
        """Return when every fault is over; nothing is left frozen, down or full."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(
                    max(0.0, started + fault.at_seconds - time.monotonic())
                )
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        if fault.kind is Kind.FULL:
            began = datetime.now(UTC)
            await self._fill(fault)
        else:
            process = await self._find(fault.target)
            if process is None:
                self.missed.append(fault)
                return
            began = datetime.now(UTC)
            await self._end(process, fault)
        self.struck.append(
            Struck(
                kind=fault.kind,
                target=fault.target,
                began=began,
                ended=datetime.now(UTC),
            )
        )

    async def _end(self, process: psutil.Process, fault: Fault) -> None:
        match fault.kind:
            case Kind.FREEZE:
                async with frozen(process):
                    await asyncio.sleep(fault.seconds)
            case Kind.DOWN:
                async with self._mesh.down(process):
                    await asyncio.sleep(fault.seconds)
            case _:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    async def _fill(self, fault: Fault) -> None:
        if fault.target == STREAM:
            async with full_stream(self._mesh.addresses["nats"]):
                await asyncio.sleep(fault.seconds)
            return
        assert fault.target == DISK
        assert self._disk is not None
        async with self._disk.full(self._nodes):
            await asyncio.sleep(fault.seconds)
        # A stream whose disk was full takes nothing until its server is started again.
        self._mesh.kill("nats")

    async def _find(self, target: str) -> psutil.Process | None:
        """Return the process once it lives; it may be between a crash and its restart."""
        deadline = time.monotonic() + _COMES_BACK_WITHIN_SECONDS
        while time.monotonic() < deadline:
            name = await self._nodes.leader(target) if target in LEADERS else target
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self._mesh.pid(name)) if name else None
                if process and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            await asyncio.sleep(_POLL_SECONDS)
        return None
