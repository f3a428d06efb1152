"""One WebSocket: its commands in, its news out."""

import asyncio
from collections.abc import Callable
from functools import partial
from uuid import UUID

import msgspec
import structlog
from hypercorn.typing import ASGIReceiveCallable

from gateway.errors import Refusal
from gateway.live.commands import (
    BadCommand,
    Batch,
    Command,
    Notification,
    read_command,
)
from gateway.live.metrics import LiveMetrics, Transport
from gateway.live.news import News, text_frame
from gateway.live.pipe import PING, Pipe
from gateway.live.readings import Reading
from gateway.live.watch import Filter
from gateway.live.watches import Watches
from gateway.lookups import Lookups
from gateway.principals import Permission, Principal
from gateway.store import UNAVAILABLE, TenantStore
from gateway.views import StatusView

log = structlog.stdlib.get_logger()

#: Subscriptions of one client that are being looked up at the same time; then it waits.
_ASKED_AT_MOST = 256

#: A client that is sent away has so long to read why.
_GOODBYE_SECONDS = 2.0

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013

_AWAY = "the ledger is not available; subscribe again"
_UNKNOWN = "there is no notification with this id"
_UNKNOWN_BATCH = "there is no batch with this id"


class _Error(msgspec.Struct, omit_defaults=True):
    """What a client is told of a frame that did nothing."""

    error: str
    notification_id: str | None = None
    batch_id: str | None = None


_encode = msgspec.json.Encoder().encode


class WebSocket:
    """An open one. What waits to be written is bounded; a client further behind has to go."""

    def __init__(
        self,
        pipe: Pipe,
        principal: Principal,
        store: TenantStore,
        lookups: Lookups,
        watches: Callable[[Callable[[News], None]], Watches],
        metrics: LiveMetrics,
        *,
        queue_bytes: int,
        subscriptions: int,
    ) -> None:
        self._pipe = pipe
        self._principal = principal
        self._store = store
        self._lookups = lookups
        self._metrics = metrics
        self._queue_bytes = queue_bytes
        self._subscriptions = subscriptions
        self._queue: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._explaining: set[asyncio.Task[None]] = set()
        self._is_gone = False
        self._asked = asyncio.Semaphore(_ASKED_AT_MOST)
        self.watches = watches(self._tell)

    async def serve(self, receive: ASGIReceiveCallable) -> None:
        """Do what the client asks until it leaves."""
        try:
            while True:
                event = await receive()
                if event["type"] == "websocket.receive":
                    await self._take(event.get("text"))
                elif event["type"] == "websocket.disconnect":
                    return
        finally:
            self._is_gone = True
            self.watches.close()
            for task in (self._writing, self._leaving, *self._explaining):
                if task is not None:
                    task.cancel()

    def ping(self) -> None:
        """Keep the connection in use; one that is being written to is."""
        if self._writing is None:
            self._put(PING)

    def send_away(self, code: int, reason: str) -> "asyncio.Task[None]":
        """Close; the task is done when the client is gone or was cut off."""
        if self._leaving is None:
            self.watches.close()
            self._leaving = asyncio.create_task(
                self._leave(code, reason), name="websocket.leave"
            )
        return self._leaving

    async def _leave(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                if self._writing is not None:
                    await asyncio.wait({self._writing})
                await self._pipe.close(code, reason)
                await asyncio.Event().wait()  # the client's answer ends ``serve``
        except TimeoutError:
            self._pipe.abort()

    async def _take(self, text: str | None) -> None:
        try:
            await self._do(read_command(text))
        except BadCommand as error:
            self._say(_Error(str(error)))

    async def _do(self, command: Command) -> None:
        match command:
            case Command(True, Notification(id_)):
                self._make_room(1)
                await self._asked.acquire()
                followed = self.watches.follow([id_])
                followed.add_done_callback(partial(self._followed, id_))
            case Command(False, Notification(id_)):
                self.watches.unfollow([id_])
            case Command(True, Batch(id_)):
                await self._follow_batch(id_)
            case Command(False, Batch(id_)):
                self.watches.unfollow(self.watches.members(id_), id_)
            case Command(follows, Filter() as wanted):
                self._follow_all(wanted, follows=follows)

    def _followed(
        self, id_: UUID, followed: "asyncio.Future[dict[UUID, Reading]]"
    ) -> None:
        error = followed.exception()
        if error is None and id_ not in followed.result():
            explaining = asyncio.create_task(
                self._explain(id_), name="websocket.explain"
            )
            self._explaining.add(explaining)
            explaining.add_done_callback(self._explained)
            return
        self._asked.release()
        if error is not None:
            _log_failure(error)
            self._say(_Error(_AWAY, notification_id=str(id_)))

    def _explained(self, explaining: "asyncio.Task[None]") -> None:
        self._asked.release()
        self._explaining.discard(explaining)

    async def _explain(self, id_: UUID) -> None:
        """Tell that a notification is unknown, or that it is on its way into the ledger."""

        async def read() -> list[StatusView] | None:
            return await self._store.standings([id_]) or None

        tenant = self._principal.tenant
        is_unknown = await self._lookups.is_unknown(tenant, id_, read)
        text = _UNKNOWN if is_unknown else _AWAY
        self._say(_Error(text, notification_id=str(id_)))

    async def _follow_batch(self, id_: UUID) -> None:
        try:
            members = await self._lookups.in_ledger(
                self._principal.tenant, id_, lambda: self._store.member_ids(id_)
            )
            if members is None:
                self._say(_Error(_UNKNOWN_BATCH, batch_id=str(id_)))
                return
            self._make_room(len(members))
            await self.watches.follow(members, id_)
        except BadCommand:
            raise
        except Refusal:
            self._say(_Error(_AWAY, batch_id=str(id_)))
        except Exception as error:  # noqa: BLE001 (logged; the connection stays)
            _log_failure(error)
            self._say(_Error(_AWAY, batch_id=str(id_)))
        # The next batch must not find the queue full of this one.
        if self._writing is not None and self._waiting_bytes > self._queue_bytes // 2:
            await asyncio.wait({self._writing})

    def _follow_all(self, wanted: Filter, *, follows: bool) -> None:
        if not self._principal.may(Permission.LIST):
            raise BadCommand(
                f"a key with the role {self._principal.role} may not follow by channel"
                " or status"
            )
        if follows:
            self._make_room(1)
            self.watches.follow_all(wanted)
        else:
            self.watches.unfollow_all(wanted)

    def _make_room(self, count: int) -> None:
        if len(self.watches) + count > self._subscriptions:
            raise BadCommand(
                f"one connection may follow {self._subscriptions} notifications"
            )

    def _tell(self, news: News) -> None:
        self._put(news.frame)
        self._metrics.told(Transport.WEBSOCKET)

    def _say(self, error: _Error) -> None:
        self._put(text_frame(_encode(error)))

    def _put(self, frame: bytes) -> None:
        if self._is_gone or self._leaving is not None:
            return
        if self._waiting_bytes + len(frame) > self._queue_bytes:
            self._drop()
            return
        self._waiting_bytes += len(frame)
        self._queue.append(frame)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="websocket.write")

    async def _write(self) -> None:
        """Write what waits, all of it at once, until nothing does."""
        try:
            while self._queue:
                frames = b"".join(self._queue)
                self._queue.clear()
                await self._pipe.write(frames)
                self._waiting_bytes -= len(frames)
        finally:
            self._writing = None

    def _drop(self) -> None:
        self._metrics.dropped(Transport.WEBSOCKET)
        log.warning("follower.dropped", transport=Transport.WEBSOCKET)
        self._queue.clear()
        if self._writing is not None:
            self._writing.cancel()
        self.send_away(TRY_AGAIN_LATER, "the client reads too slowly")


def _log_failure(error: BaseException) -> None:
    if isinstance(error, UNAVAILABLE):
        log.warning("ledger.not_read", error=type(error).__name__)
    else:
        log.error("subscription.failed", exc_info=error)
