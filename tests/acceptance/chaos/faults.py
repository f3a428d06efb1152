"""The fault script: which process is killed or frozen when, drawn from a seed."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from random import Random

import psutil

from tests.acceptance.mesh import Mesh

_PAUSE_SECONDS = (0.8, 2.6)
_FREEZE_SECONDS = (1.0, 5.0)
#: One freeze in five outlasts a dispatcher's lease and the bus's acknowledgement wait.
_LONG_FREEZE_SECONDS = (16.0, 18.0)
_LONG_FREEZES = 0.2
_POLL_SECONDS = 0.05
#: What a server that was frozen for long gets before the next is.
_RECOVERS_SECONDS = 10.0
_COMES_BACK_WITHIN_SECONDS = 15.0


class Kind(StrEnum):
    KILL = "kill -9"
    FREEZE = "freeze"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, planned; `at_seconds` counts from the start of the script."""

    at_seconds: float
    kind: Kind
    target: str
    #: How long a freeze lasts; 0 for a kill.
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Struck:
    """One fault as it happened."""

    kind: Kind
    target: str
    began: datetime
    ended: datetime

    def touches(self, begun: datetime, ended: datetime) -> bool:
        """Say whether something that lasted from ``begun`` to ``ended`` met this fault."""
        return self.began <= ended and self.ended >= begun


def draw(seed: int, targets: Sequence[str]) -> Iterator[Fault]:
    """Yield faults for ever: in each round every target is killed once and frozen once."""
    rng = Random(seed)
    at = 0.0
    for _ in count():
        strikes = [(kind, target) for kind in Kind for target in targets]
        rng.shuffle(strikes)
        for kind, target in strikes:
            at += rng.uniform(*_PAUSE_SECONDS)
            seconds = 0.0
            if kind is Kind.FREEZE:
                is_long = target.startswith("dispatcher") and (
                    rng.random() < _LONG_FREEZES
                )
                between = _LONG_FREEZE_SECONDS if is_long else _FREEZE_SECONDS
                seconds = round(rng.uniform(*between), 1)
            yield Fault(
                at_seconds=round(at, 1), kind=kind, target=target, seconds=seconds
            )


def script(seed: int, targets: Sequence[str], seconds: float) -> list[Fault]:
    """Return all faults that begin within ``seconds``."""
    faults: list[Fault] = []
    for fault in draw(seed, targets):
        if fault.at_seconds > seconds:
            return faults
        faults.append(fault)
    raise AssertionError("draws never end")


def outages(servers: Sequence[str], seconds: float) -> list[Fault]:
    """Return one long freeze of each server, with a rest in between."""
    apart = seconds + _RECOVERS_SECONDS
    return [
        Fault(
            at_seconds=number * apart + _RECOVERS_SECONDS,
            kind=Kind.FREEZE,
            target=server,
            seconds=seconds,
        )
        for number, server in enumerate(servers)
    ]


class Striker:
    """Carries a script out against a mesh, and keeps what really happened."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.struck: list[Struck] = []
        self.missed: list[Fault] = []

    async def run(self, faults: Iterable[Fault]) -> None:
        """Return when every fault is over; no process is left frozen."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(
                    max(0.0, started + fault.at_seconds - time.monotonic())
                )
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        process = await self._find(fault.target)
        if process is None:
            self.missed.append(fault)
            return
        began = datetime.now(UTC)
        if fault.kind is Kind.KILL:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        else:
            await _freeze(process, fault.seconds)
        self.struck.append(
            Struck(
                kind=fault.kind,
                target=fault.target,
                began=began,
                ended=datetime.now(UTC),
            )
        )

    async def _find(self, target: str) -> psutil.Process | None:
        """Return the child once it lives; it may be between a crash and its restart."""
        deadline = time.monotonic() + _COMES_BACK_WITHIN_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self._mesh.pid(target))
                if process.status() != psutil.STATUS_ZOMBIE:
                    return process
            await asyncio.sleep(_POLL_SECONDS)
        return None


async def _freeze(process: psutil.Process, seconds: float) -> None:
    """Stop a process and all it started (Postgres works in its children), then go on."""
    frozen: list[psutil.Process] = []
    try:
        for one in _family(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
                frozen.append(one)
        await asyncio.sleep(seconds)
    finally:
        for one in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []
