"""Tells the mesh that a service lives: its state once a second, and the NATS micro protocol."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
import nats.errors
import nats.micro
import psutil
import structlog

from contracts import subjects
from contracts.channels import Channel
from contracts.mesh import (
    JobReading,
    LaneReading,
    ProviderReading,
    ServiceCondition,
    ServiceState,
)
from ops.runtime.bus import Bus
from ops.runtime.readiness import Readiness
from ops.runtime.tasks import first_of, wait_for_stop
from ops.runtime.version import version

log = structlog.stdlib.get_logger()

PERIOD_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0


class Readings(msgspec.Struct, kw_only=True):
    """What a service adds to its own state; it fills this in when asked, once a second."""

    lanes: list[LaneReading] = []
    limits: dict[Channel, float] = {}
    tokens_per_second: dict[Channel, float] = {}
    throttled_seconds: dict[Channel, float] = {}
    providers: list[ProviderReading] = []
    jobs: list[JobReading] = []
    gauges: dict[str, float] = {}


class Heartbeat:
    """Publishes one service's state."""

    def __init__(
        self,
        bus: Bus,
        readiness: Readiness,
        *,
        service: str,
        instance: str,
        settings_hash: str = "",
    ) -> None:
        self._bus = bus
        self._readiness = readiness
        self._service = service
        self._instance = instance
        self._settings_hash = settings_hash
        self._lag_seconds = 0.0
        self._read: Callable[[], Readings] = Readings
        self._process = psutil.Process()
        self._started_at = datetime.now(UTC)
        self._registration: nats.micro.service.Service | None = None
        self._registered = asyncio.Event()
        self.draining = False

    async def serve(
        self, endpoints: Iterable[nats.micro.service.EndpointConfig]
    ) -> None:
        """Answer requests on the bus in the name of the service, once it is registered.

        That ends with the registration, when the service is told to stop.
        """
        await self._registered.wait()
        assert self._registration is not None
        for endpoint in endpoints:
            await self._add(self._registration, endpoint)

    async def _add(
        self,
        registration: nats.micro.service.Service,
        endpoint: nats.micro.service.EndpointConfig,
    ) -> None:
        while True:
            await self._bus.connected.wait()
            try:
                return await registration.add_endpoint(endpoint)
            except nats.errors.Error as error:
                log.warning("micro.not_subscribed", error=repr(error))
                await asyncio.sleep(PERIOD_SECONDS)

    def reports(self, read: Callable[[], Readings]) -> None:
        """Ask ``read`` for what the service adds to its state; it must not block."""
        self._read = read

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish once a second until told to stop, and once more to say goodbye."""
        registration = await self._register(stopping)
        while not stopping.is_set():
            await self._publish()
            due_at = time.monotonic() + PERIOD_SECONDS
            await wait_for_stop(stopping, PERIOD_SECONDS)
            self._lag_seconds = max(0.0, time.monotonic() - due_at)
        self.draining = True
        await self._publish()
        if registration is not None:
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await registration.stop()
            except (nats.errors.Error, TimeoutError) as error:
                log.info("micro.stop_failed", error=repr(error))

    async def _register(
        self, stopping: asyncio.Event
    ) -> nats.micro.service.Service | None:
        await first_of(self._bus.connected, stopping)
        if stopping.is_set():
            return None
        registration = await nats.micro.add_service(
            self._bus.nc,
            name=f"tocsin-{self._service}",
            version=version(),
            metadata={"instance": self._instance},
        )
        self._registration = registration
        self._registered.set()
        return registration

    async def _publish(self) -> None:
        state = await self.state()
        try:
            await self._bus.nc.publish(
                subjects.mesh_state(self._service, self._instance),
                msgspec.json.encode(state),
            )
        except (nats.errors.Error, ConnectionError) as error:
            log.debug("heartbeat.not_sent", error=repr(error))

    async def state(self) -> ServiceState:
        """Take the state of this moment."""
        dependencies = await self._readiness.ask()
        readings = self._read()
        return ServiceState(
            service=self._service,
            instance=self._instance,
            version=version(),
            condition=self._condition(await self._readiness.missing()),
            pid=os.getpid(),
            at=datetime.now(UTC),
            started_at=self._started_at,
            rss_bytes=self._process.memory_info().rss,
            lag_seconds=self._lag_seconds,
            settings_hash=self._settings_hash,
            dependencies=dependencies,
            lanes=readings.lanes,
            limits=readings.limits,
            tokens_per_second=readings.tokens_per_second,
            throttled_seconds=readings.throttled_seconds,
            providers=readings.providers,
            jobs=readings.jobs,
            gauges=readings.gauges,
        )

    def _condition(self, missing: list[str]) -> ServiceCondition:
        if self.draining:
            return ServiceCondition.DRAINING
        return ServiceCondition.UNREADY if missing else ServiceCondition.READY
