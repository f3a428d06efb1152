"""Keeps the bus's streams and consumers in being."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from nats.js import errors as js_errors

from contracts.topology import CONSUMERS, STREAMS
from ops.runtime import topology
from ops.runtime.bus import Bus
from scheduler.jobs import Done

log = structlog.stdlib.get_logger()


class Shape:
    """Brings the bus to its declared shape once, and again whenever a part is missing.

    Drift is put right only the first time: what an operator tunes later stays until the next
    start. A stream that was deleted comes back empty, and the reconciliation fills it.
    """

    def __init__(self, bus: Bus, *, replicas: int) -> None:
        self._bus = bus
        self._replicas = replicas
        self._shaped = False

    async def step(self) -> Done:
        """Look once, and make what is missing."""
        await self._bus.check()
        missing: list[str] = []
        if self._shaped:
            missing = await self._missing()
            if not missing:
                return Done()
            log.error("topology.parts_missing", names=missing)
        await topology.ensure(self._bus.js, replicas=self._replicas)
        self._shaped = True
        return Done(why={"missing": len(missing)})

    async def _missing(self) -> list[str]:
        js = self._bus.js
        streams = {stream.name: js.stream_info(stream.name) for stream in STREAMS}
        consumers = {
            f"{consumer.stream}/{consumer.name}": js.consumer_info(
                consumer.stream, consumer.name
            )
            for consumer in CONSUMERS
        }
        looks: dict[str, Coroutine[Any, Any, object]] = {**streams, **consumers}
        found = await asyncio.gather(*(_exists(look) for look in looks.values()))
        return [name for name, there in zip(looks, found, strict=True) if not there]


async def _exists(look: Coroutine[Any, Any, object]) -> bool:
    try:
        await look
    except js_errors.NotFoundError:
        return False
    return True
