"""News from a running mesh over NATS: what services say, and what JetStream holds."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from console.events import (
    BreakerHeard,
    ControlHeard,
    EventsDropped,
    LinkAnswered,
    LinkChanged,
    LinkCondition,
    OperatorReported,
    ServiceReported,
    StatusReported,
)
from console.source import Sink
from console.source.backlog import BacklogReader
from console.source.buckets import BucketFollower
from contracts import controls, messages, subjects
from contracts.breakers import BreakerState
from contracts.mesh import ServiceState
from contracts.messages import OperatorActed, StatusChanged
from contracts.settings import nats_servers
from contracts.topology import BREAKERS, CONTROLS

READ_SECONDS = 1.0
ANSWER_SECONDS = 2
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
#: Events that may wait while the screen is being drawn; more are dropped and counted.
WAITING_EVENTS = 65_536


@dataclass(frozen=True, kw_only=True)
class BusAddress:
    """Where the bus is."""

    url: str
    creds: Path | None = None


class BusSource:
    """Listens to the bus, and connects again for ever with growing, uneven pauses.

    Each connection is its own client: nats-py gives up for good when credentials are
    refused, and an operator's console must not.
    """

    def __init__(
        self, address: BusAddress, *, pause: Callable[[int], float] | None = None
    ) -> None:
        self._address = address
        self._pause = pause or pause_seconds
        self._refresh = asyncio.Event()

    def refresh(self) -> None:
        """Read the backlog now instead of at the next second, or connect at once."""
        self._refresh.set()

    async def run(self, sink: Sink) -> None:
        """Listen until cancelled."""
        sink(LinkChanged(condition=LinkCondition.CONNECTING))
        attempt = 0
        while not _cancelled():
            reason = ""
            try:
                async with self._connection(sink) as connection:
                    attempt = 0
                    sink(LinkChanged(condition=LinkCondition.CONNECTED))
                    await self._listen_while_connected(connection, sink)
                reason = connection.reason
            except (nats.errors.Error, OSError, TimeoutError) as error:
                reason = in_words(error)
            attempt += 1
            pause = self._pause(attempt)
            sink(
                LinkChanged(
                    condition=LinkCondition.RETRYING,
                    attempt=attempt,
                    retry_in_seconds=pause,
                    reason=reason,
                )
            )
            await self._wait(pause)
        raise asyncio.CancelledError

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._refresh.wait()
        except TimeoutError:
            return
        finally:
            self._refresh.clear()

    @asynccontextmanager
    async def _connection(self, sink: Sink) -> AsyncIterator["_Connection"]:
        connection = _Connection(sink)
        try:
            await connection.open(self._address)
            yield connection
        finally:
            await connection.close()

    async def _listen_while_connected(
        self, connection: "_Connection", sink: Sink
    ) -> None:
        js = connection.client.jetstream(timeout=ANSWER_SECONDS)
        following = [
            asyncio.create_task(
                BucketFollower(js, bucket, hear).run(), name=f"console.{bucket.name}"
            )
            for bucket, hear in (
                (CONTROLS, connection.on_control),
                (BREAKERS, connection.on_breaker),
            )
        ]
        try:
            await self._read_while_connected(connection, BacklogReader(js), sink)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _read_while_connected(
        self, connection: "_Connection", reader: BacklogReader, sink: Sink
    ) -> None:
        while not connection.is_over and not _cancelled():
            asked = time.monotonic()
            try:
                await connection.client.flush(ANSWER_SECONDS)
            except (nats.errors.Error, TimeoutError):
                # no answer: the news grows old, and nats-py's own pings end the connection
                await self._wait_or_closed(connection)
                continue
            sink(LinkAnswered(seconds=time.monotonic() - asked))
            backlog = await reader.read(time.monotonic())
            if connection.denied:
                backlog = msgspec.structs.replace(backlog, problem=connection.denied)
            if not connection.is_over:
                sink(backlog)
            connection.report_dropped()
            await self._wait_or_closed(connection)

    async def _wait_or_closed(self, connection: "_Connection") -> None:
        closed = asyncio.ensure_future(connection.closed.wait())
        waited = asyncio.ensure_future(self._wait(READ_SECONDS))
        try:
            await asyncio.wait({closed, waited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            waited.cancel()


class _Connection:
    """One client from its connecting to its end."""

    def __init__(self, sink: Sink) -> None:
        self.client = Client()
        self.closed = asyncio.Event()
        self.reason = ""
        """Why it ended, as far as the server said."""
        self.denied = ""
        """What these credentials may not hear, in the server's words."""
        self._sink = sink
        self._last_error: Exception | None = None
        self._slow = 0
        self._unreadable = 0
        self._states = msgspec.json.Decoder(ServiceState)
        self._breakers = msgspec.json.Decoder(BreakerState)

    async def open(self, address: BusAddress) -> None:
        """Connect once and subscribe; raises what is wrong."""
        options: dict[str, Any] = {}
        if address.creds:
            options["user_credentials"] = str(address.creds)
        try:
            await self.client.connect(
                nats_servers(address.url),
                name="tocsin-console",
                inbox_prefix=b"_INBOX_console",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=ANSWER_SECONDS,
                ping_interval=2,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                **options,
            )
        except nats.errors.NoServersError as error:
            raise (self._last_error or error) from error
        await self.client.subscribe(
            subjects.MESH_STATE_ALL,
            cb=self._on_state,
            pending_msgs_limit=WAITING_EVENTS,
        )
        await self.client.subscribe(
            subjects.STATUS_ALL, cb=self._on_status, pending_msgs_limit=WAITING_EVENTS
        )
        await self.client.subscribe(
            subjects.MESH_ACTION_ALL,
            cb=self._on_action,
            pending_msgs_limit=WAITING_EVENTS,
        )
        # Connected means listening: what is said from now on is heard.
        await self.client.flush(ANSWER_SECONDS)

    async def close(self) -> None:
        """End the connection, whatever state it is in."""
        if self.client.is_closed:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.client.close()
        except TimeoutError:
            return  # a frozen server takes no goodbye

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended."""
        return self.closed.is_set() or self.client.is_closed

    def report_dropped(self) -> None:
        """Tell of events that were lost since last told."""
        if self._slow or self._unreadable:
            self._sink(EventsDropped(slow=self._slow, unreadable=self._unreadable))
            self._slow = self._unreadable = 0

    async def _on_state(self, message: Msg) -> None:
        try:
            state = self._states.decode(message.data)
        except msgspec.ValidationError:
            self._unreadable += 1
        else:
            self._sink(ServiceReported(state=state))

    async def _on_status(self, message: Msg) -> None:
        try:
            change = messages.decode(message.data)
        except msgspec.MsgspecError:
            self._unreadable += 1
            return
        if isinstance(change, StatusChanged):
            self._sink(StatusReported(change=change))

    async def _on_action(self, message: Msg) -> None:
        try:
            acted = messages.decode(message.data)
        except msgspec.MsgspecError:
            self._unreadable += 1
            return
        if isinstance(acted, OperatorActed):
            self._sink(OperatorReported(acted=acted))

    def on_control(self, key: str, value: bytes | None, _revision: int) -> None:
        """Tell of an operator's control."""
        try:
            control = None if value is None else controls.decode(value)
        except msgspec.MsgspecError:
            self._unreadable += 1
        else:
            self._sink(ControlHeard(key=key, control=control))

    def on_breaker(self, provider: str, value: bytes | None, revision: int) -> None:
        """Tell of what the dispatchers agreed on."""
        try:
            state = None if value is None else self._breakers.decode(value)
        except msgspec.MsgspecError:
            self._unreadable += 1
        else:
            self._sink(BreakerHeard(provider=provider, state=state, revision=revision))

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self._slow += 1
        elif "permissions violation" in str(error).lower():
            self.denied = in_words(error)
        else:
            self._last_error = error
            self.reason = in_words(error)

    async def _on_closed(self) -> None:
        self.closed.set()


def _cancelled() -> bool:
    """Say whether this task was told to end.

    ``wait_for`` of Python 3.11, which nats-py uses, loses a cancellation that comes
    together with what it waits for.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def pause_seconds(attempt: int) -> float:
    """Return how long to wait before an attempt: growing, capped, uneven."""
    doublings = min(attempt - 1, 10)
    longest = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)


def in_words(error: BaseException) -> str:
    """Say in a few words why there is no connection."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer"
        case nats.errors.AuthorizationError():
            return "credentials refused"
        case nats.errors.UnexpectedEOF() | nats.errors.StaleConnectionError():
            return "the server went away"
        case nats.errors.Error():
            words = str(error).removeprefix("nats: ")
            refused = "authorization violation" in words.lower()
            return "credentials refused" if refused else words
        case OSError():
            return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
