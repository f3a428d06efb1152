"""Server-sent events: the changes of a notification, or of a batch, as one long answer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from contracts.lifecycle import FINAL, Status
from gateway.errors import Refusal
from gateway.filters import Query
from gateway.live.cursors import BatchCursor, NotificationCursor
from gateway.live.metrics import LiveMetrics, Transport
from gateway.live.news import News
from gateway.live.watches import Watches
from gateway.lookups import Lookups
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import UNAVAILABLE, Store
from gateway.views import StatusView

log = structlog.stdlib.get_logger()

_EVENT_STREAM = b"text/event-stream"
_RETRY = b"retry: 2000\n\n"
_KEEP_ALIVE = b":\n\n"

Cursor = NotificationCursor | BatchCursor


class EventStream:
    """One open stream. It ends when every notification of it is final.

    One that waits for receipts ends, of what is delivered, with the first receipt.
    """

    def __init__(
        self,
        cursor: Cursor,
        ids: Sequence[UUID],
        after: dict[UUID, int] | None,
        watches: Callable[[Callable[[News], None]], Watches],
        metrics: LiveMetrics,
        *,
        queue_bytes: int,
        with_receipts: bool = False,
    ) -> None:
        self._with_receipts = with_receipts
        self._cursor = cursor
        self._ids = ids
        self._after = after
        self._metrics = metrics
        self._queue_bytes = queue_bytes
        self._queue: list[bytes] = []
        self._waiting_bytes = 0
        self._open = set(ids)  #: those of which more is to come
        self._changed = asyncio.Event()
        self._stopped = False
        self.watches = watches(self._tell)

    def stop(self) -> None:
        """End when what waits has been sent; the client then asks somebody else."""
        self._stopped = True
        self._changed.set()

    async def events(
        self, keep_alive_seconds: float, still_allowed: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[bytes, None]:
        """Yield events, and comments while there are none."""
        following = self.watches.follow(self._ids, after=self._after)
        try:
            yield _RETRY
            readings = await following
            self._open = {
                id_
                for id_ in self._open & readings.keys()
                if not is_over(readings[id_].standing, self._with_receipts)
            }
            while True:
                if self._queue:
                    yield self._take()
                elif self._stopped or not self._open:
                    return
                elif not await self._wait(keep_alive_seconds):
                    if not await still_allowed():
                        return
                    yield _KEEP_ALIVE
        except UNAVAILABLE:
            return
        finally:
            following.cancel()
            self.watches.close()

    async def _wait(self, at_most_seconds: float) -> bool:
        """Return whether something has come before the time was over."""
        try:
            async with asyncio.timeout(at_most_seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def _take(self) -> bytes:
        taken = b"".join(self._queue)
        self._queue.clear()
        self._waiting_bytes = 0
        return taken

    def _tell(self, news: News) -> None:
        """Take in a change. A client that is too far behind may come again and resume."""
        if self._stopped:
            return
        event_id = self._cursor.advance(news).encode()
        event = b"id: %b\ndata: %b\n\n" % (event_id, news.json)
        if self._waiting_bytes + len(event) > self._queue_bytes + self._first_bytes:
            self._metrics.dropped(Transport.EVENT_STREAM)
            log.warning("follower.dropped", transport=Transport.EVENT_STREAM)
            self.stop()
            return
        self._waiting_bytes += len(event)
        self._queue.append(event)
        self._metrics.told(Transport.EVENT_STREAM)
        if is_over(news.view, self._with_receipts):
            self._open.discard(news.id)
        self._changed.set()

    @property
    def _first_bytes(self) -> int:
        """Return what the first news of all members may take beside the queue.

        A batch's event ids grow with its size, and every member has its snapshot.
        """
        return len(self._ids) * (len(self._ids) + 300)


class EventRoutes:
    """Handlers of event streams."""

    def __init__(
        self,
        store: Store,
        lookups: Lookups,
        open_stream: Callable[..., AsyncGenerator[bytes, None]],
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._open_stream = open_stream

    def routes(self) -> list[Route]:
        """Return what is served here."""
        path = "/api/v1/notifications"
        return [
            Route(
                RouteName.GET_EVENTS,
                "GET",
                f"{path}/<notification_id>/events",
                self.of_notification,
                Permission.READ,
            ),
            Route(
                RouteName.GET_BATCH_EVENTS,
                "GET",
                f"{path}/batch/<batch_id>/events",
                self.of_batch,
                Permission.READ,
            ),
        ]

    async def of_notification(self, call: Call, notification_id: str) -> Answer:
        """Stream the changes of one notification."""
        id_ = uuid_in_path(notification_id)
        asked = Query(call.query).text("receipts") or "false"
        if asked not in {"true", "false"}:
            raise Refusal.of_parameter("receipts", "receipts is true or false")
        return await self._stream(
            call, NotificationCursor(id_), [id_], with_receipts=asked == "true"
        )

    async def of_batch(self, call: Call, batch_id: str) -> Answer:
        """Stream the changes of every member of a batch."""
        id_ = uuid_in_path(batch_id)
        tenant = call.principal.tenant
        store = self._store.of(tenant)
        ids = await self._lookups.in_ledger(tenant, id_, lambda: store.member_ids(id_))
        if not ids:  # none: its members are gone, and it is about to be
            raise not_found("batch")
        return await self._stream(call, BatchCursor(ids), ids)

    async def _stream(
        self,
        call: Call,
        cursor: Cursor,
        ids: Sequence[UUID],
        *,
        with_receipts: bool = False,
    ) -> Answer:
        tenant = call.principal.tenant

        async def read() -> list[StatusView] | None:
            return await self._store.of(tenant).standings(ids) or None

        standings = await self._lookups.in_ledger(tenant, ids[0], read)
        if standings is None:
            raise not_found("notification")
        last_id = call.headers.get(b"last-event-id", b"").decode("latin-1")
        after = cursor.read(last_id, {s.notification_id: s.sequence for s in standings})
        waits = with_receipts and not cursor.told_receipt
        if after is not None and not any(map(_more_after(after, waits), standings)):
            return Answer(204, b"")  # a browser then stops asking
        stream = self._open_stream(call, cursor, ids, after, waits)
        return Answer(200, b"", _EVENT_STREAM, stream=stream)


def is_over(view: StatusView, waits: bool) -> bool:
    """Say whether nothing follows by itself, nor a receipt that somebody waits for."""
    if waits and view.status is Status.DELIVERED and view.receipt is None:
        return False
    return view.status in FINAL


def _more_after(after: dict[UUID, int], waits: bool) -> Callable[[StatusView], bool]:
    """Say of a standing whether there is, or will be, something after a sequence."""
    return lambda standing: (
        standing.status not in FINAL
        or (waits and standing.status is Status.DELIVERED)
        or standing.sequence > after.get(standing.notification_id, 0)
    )
