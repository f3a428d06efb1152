"""One running service: everything it opens, in order, and how it stops."""

import asyncio
import gc
import hashlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from redis.asyncio import Redis

from contracts.settings import MeshSettings
from ops.runtime import logging
from ops.runtime.bus import Bus, open_bus
from ops.runtime.heartbeat import Heartbeat
from ops.runtime.ledger import Ledger, open_ledger
from ops.runtime.limits import open_redis
from ops.runtime.readiness import Readiness
from ops.runtime.version import version

log = structlog.stdlib.get_logger()

_ALLOCATIONS_BETWEEN_COLLECTIONS = 50_000
_OF_ONE_PROCESS = frozenset({"instance", "log_level", "log_format"})
_CREDENTIALS = re.compile(r"//[^/@]*@")


class Stop:
    """Tells every part of a process that it is time to stop, and why if it went wrong."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.failures: list[str] = []

    def fail(self, reason: str) -> None:
        """Stop for a reason that only a restart can mend; the exit code becomes 1."""
        log.error("service.failed", reason=reason)
        self.failures.append(reason)
        self.event.set()


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a service stands on. Everything opens without its server being there."""

    name: str
    instance: str
    ledger: Ledger
    bus: Bus
    redis: Redis
    readiness: Readiness
    heartbeat: Heartbeat
    registry: CollectorRegistry
    stop: Stop

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the service was told to stop; it cancels nothing."""
        return self.stop.event


def instance_name(settings: MeshSettings) -> str:
    """Return the configured name of this process, or one made from host and pid."""
    if settings.instance:
        return settings.instance
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())
    return f"{host}-{os.getpid()}"[-64:]


def settings_hash(settings: MeshSettings) -> str:
    """Return the same eight digits for processes that were configured alike.

    What names a process, says where it listens, or is secret does not count.
    """
    said = settings.model_dump(mode="json")
    counted = {
        name: _CREDENTIALS.sub("//", value) if isinstance(value, str) else value
        for name, value in said.items()
        if name not in _OF_ONE_PROCESS and not name.endswith(("_host", "_port"))
    }
    return hashlib.sha256(repr(sorted(counted.items())).encode()).hexdigest()[:8]


@asynccontextmanager
async def open_service(name: str, settings: MeshSettings) -> AsyncIterator[Service]:
    """Open connections, announce the service on the mesh, and close all in reverse.

    The caller leaves the block when ``stopping`` is set and its own work has drained.
    """
    instance = instance_name(settings)
    stop = Stop()
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings))
        ledger = await stack.enter_async_context(open_ledger(settings))
        bus = await stack.enter_async_context(
            open_bus(settings, f"{name}-{instance}", stop.fail)
        )
        readiness = Readiness()
        readiness.depends_on("postgres", ledger.check)
        readiness.depends_on("nats", bus.check)
        readiness.depends_on("redis", redis.ping, required=False)
        heartbeat = Heartbeat(
            bus,
            readiness,
            service=name,
            instance=instance,
            settings_hash=settings_hash(settings),
        )
        beating = asyncio.create_task(heartbeat.run(stop.event), name="heartbeat")
        try:
            yield Service(
                name=name,
                instance=instance,
                ledger=ledger,
                bus=bus,
                redis=redis,
                readiness=readiness,
                heartbeat=heartbeat,
                registry=CollectorRegistry(),
                stop=stop,
            )
        finally:
            stop.event.set()
            await asyncio.gather(beating, return_exceptions=True)


_Settings = TypeVar("_Settings", bound=MeshSettings)


def run_service(
    name: str,
    load: Callable[[], _Settings],
    run: Callable[[_Settings, Service], Awaitable[None]],
) -> NoReturn:
    """Load settings, open the service, run it until it is told to stop, and exit.

    ``run`` returns when it has drained. SIGTERM and SIGINT tell it to stop.
    Exit codes: 0 told to stop, 1 failed, 2 a setting is wrong (named on stderr).
    """
    try:
        settings = load()
    except ValidationError as error:
        sys.stderr.write(f"tocsin {name}: {describe(error)}\n")
        sys.exit(2)
    logging.configure(settings, name, instance_name(settings))
    sys.exit(uvloop.run(_run_until_stopped(name, settings, run)))


async def _run_until_stopped(
    name: str,
    settings: _Settings,
    run: Callable[[_Settings, Service], Awaitable[None]],
) -> int:
    log.info("service.started", version=version(), pid=os.getpid())
    _collect_seldom()
    async with open_service(name, settings) as service:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stopping.set)
        await run(settings, service)
    log.info("service.stopped")
    return 1 if service.stop.failures else 0


def _collect_seldom() -> None:
    """Look for garbage cycles seldom, and never among what was there at the start.

    Our services make hundreds of thousands of short-lived objects a second and hardly a
    cycle among them; looking as often as Python does by itself took a fifth of a busy
    gateway's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS, 20, 50)


def describe(error: ValidationError, prefix: str = "TOCSIN_") -> str:
    """Name each setting that is wrong, by its environment variable, and say why."""
    return "; ".join(
        _describe_one(prefix, item["loc"], item["msg"])
        for item in error.errors(include_input=False, include_url=False)
    )


def _describe_one(prefix: str, location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    # A rule over several settings has no location; its words name them.
    if not location:
        return message
    # The number of an element says nothing: a list is one variable.
    names = [part for part in location if isinstance(part, str)]
    return f"{prefix}{'_'.join(names).upper()}: {message}"
