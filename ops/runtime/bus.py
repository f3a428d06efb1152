"""The connection to the bus."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.settings import MeshSettings
from ops.runtime import wire
from ops.runtime.confirmations import Confirmations

log = structlog.stdlib.get_logger()

_FLUSH_SECONDS = 2


class Bus:
    """A NATS connection that keeps trying for ever, and its JetStream context.

    Nothing is buffered while the bus is away (``pending_size=0``): a publish that was
    reported as failed must not be stored after a reconnect.
    """

    def __init__(self) -> None:
        self.nc: Client = wire.WireClient()
        self.js: JetStreamContext = self.nc.jetstream(timeout=2)
        self.confirmations = Confirmations(self.nc)
        self.connected = asyncio.Event()
        self._on_reconnect: list[Callable[[], None]] = []

    def on_reconnect(self, call: Callable[[], None]) -> None:
        """Call ``call`` after every reconnect; it must not block."""
        self._on_reconnect.append(call)

    def reconnected(self) -> None:
        """Tell everyone who asked."""
        for call in self._on_reconnect:
            call()

    async def check(self) -> None:
        """Raise when the bus is not connected."""
        if not self.nc.is_connected:
            raise ConnectionError("not connected")


@asynccontextmanager
async def open_bus(
    settings: MeshSettings, name: str, on_lost: Callable[[str], None]
) -> AsyncIterator[Bus]:
    """Connect in the background, and close at the end after a flush.

    ``on_lost`` is called with a sentence when the connection is closed for good (refused
    credentials): nothing but a restart mends that.
    """
    bus = Bus()
    closing = False

    async def on_error(error: Exception) -> None:
        log.warning("bus.error", error=repr(error))

    async def on_disconnect() -> None:
        bus.connected.clear()
        if not closing:
            log.warning("bus.disconnected")

    async def on_reconnect() -> None:
        log.info("bus.reconnected")
        bus.connected.set()
        bus.reconnected()

    async def on_closed() -> None:
        if not closing:
            on_lost("the bus closed the connection for good: check its credentials")

    options: dict[str, Any] = {
        "servers": [str(server) for server in settings.nats_url],
        "name": name,
        "inbox_prefix": b"_INBOX_" + name.encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 2,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "pending_size": 0,
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
        "closed_cb": on_closed,
    }
    if settings.nats_creds:
        options["user_credentials"] = str(settings.nats_creds)

    async def connect() -> None:
        try:
            await bus.nc.connect(**options)
        except (nats.errors.Error, OSError) as error:
            on_lost(f"the bus refused the connection: {error}")
            return
        bus.connected.set()

    connecting = asyncio.create_task(connect(), name="bus.connect")
    try:
        yield bus
    finally:
        closing = True
        # Again and again: wait_for loses a cancellation that comes together with an answer.
        while not connecting.done():
            connecting.cancel()
            await asyncio.wait({connecting}, timeout=0.1)
        if bus.nc.is_connected:
            try:
                await bus.nc.flush(_FLUSH_SECONDS)
            except nats.errors.Error as error:
                log.warning("bus.flush_failed", error=repr(error))
        if not bus.nc.is_closed:
            try:
                await bus.nc.close()
            except OSError as error:  # the client trips over a connection that is gone
                log.info("bus.close_failed", error=repr(error))
