"""Everybody who follows notifications at this gateway: let in, kept, and sent away."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    Scope,
    WebsocketScope,
)
from prometheus_client import CollectorRegistry

from contracts.keys import KEY_PREFIX
from contracts.problems import ProblemType
from gateway.auth import Authenticate
from gateway.bodies import read_nothing
from gateway.door import Door, call_headers, open_call, response_headers
from gateway.errors import Refusal
from gateway.live.backfill import Backfill
from gateway.live.events import Cursor, EventRoutes, EventStream
from gateway.live.feed import Feed
from gateway.live.metrics import LiveMetrics, Transport
from gateway.live.news import News
from gateway.live.pipe import Pipe
from gateway.live.readings import Readings
from gateway.live.watches import Watches
from gateway.live.websocket import GOING_AWAY, POLICY_VIOLATION, WebSocket
from gateway.lookups import Lookups
from gateway.principals import Permission, Principal
from gateway.routing import Answer, Call, Route, RouteName
from gateway.settings import GatewaySettings
from gateway.store import UNAVAILABLE, Store
from ops.runtime.bus import Bus

log = structlog.stdlib.get_logger()

PATH = "/api/v1/ws/notifications"

#: What a browser asks for beside its key; the server's choice must not be the key.
SUBPROTOCOL = "tocsin.v1"

_SWITCHING_PROTOCOLS = 101


class Live:
    """Owns every WebSocket and event stream, and what they share."""

    def __init__(
        self,
        settings: GatewaySettings,
        bus: Bus,
        store: Store,
        lookups: Lookups,
        authenticate: Authenticate,
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._lookups = lookups
        self._authenticate = authenticate
        self.metrics = LiveMetrics(registry)
        self._feed = Feed(bus, self.metrics)
        self._backfill = Backfill(bus, self._feed)
        self._readings = Readings(store, self._feed)
        self._sockets: dict[WebSocket, Call] = {}
        self._streams: set[EventStream] = set()
        self._draining = False
        self.metrics.watch_subjects(lambda: self._feed.subjects)
        bus.on_reconnect(self._catch_up)

    def routes(self) -> list[Route]:
        """Return what is served over plain HTTP."""
        return [
            Route(
                RouteName.FOLLOW_NOTIFICATIONS,
                "GET",
                PATH,
                _ask_for_an_upgrade,
                Permission.READ,
            ),
            *EventRoutes(self._store, self._lookups, self._open_stream).routes(),
        ]

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve those who follow until cancelled; send them away when told to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._drain(stopping), name="live.drain")
            tasks.create_task(self._feed.run(), name="live.feed")
            tasks.create_task(self._backfill.run(), name="live.backfill")
            tasks.create_task(self._readings.run(), name="live.readings")
            tasks.create_task(self._keep(), name="live.keep")

    async def _drain(self, stopping: asyncio.Event) -> None:
        """Let nobody in any more, and send everybody away."""
        await stopping.wait()
        self._draining = True
        for stream in self._streams:
            stream.stop()
        for socket in self._sockets:
            socket.send_away(GOING_AWAY, "the gateway stops; connect again")

    async def serve_socket(
        self,
        door: Door,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        """Serve one WebSocket, as an ASGI application does."""
        assert scope["type"] == "websocket"
        headers = dict(scope["headers"])
        subprotocol = _choose_subprotocol(scope, headers)
        call = open_call(
            "GET",
            scope["raw_path"].decode(),
            headers,
            read_nothing,
            scope["client"],
        )
        answer = await door.answer(self._handshake, call)
        if answer.status != _SWITCHING_PROTOCOLS:
            await _refuse(call, answer, send)
            return
        pipe = Pipe(send)
        await pipe.accept(subprotocol, [*call_headers(call), *answer.headers])
        await self._serve(pipe, call, receive)

    @property
    def _handshake(self) -> Route:
        return Route(
            RouteName.FOLLOW_NOTIFICATIONS, "GET", PATH, self._admit, Permission.READ
        )

    async def _admit(self, call: Call) -> Answer:
        self._check_room()
        if not self._settings.gateway_require_keys:
            _refuse_foreign_pages(call)
        return Answer(_SWITCHING_PROTOCOLS, b"")

    def _check_room(self) -> None:
        is_full = self.metrics.clients >= self._settings.gateway_live_clients
        if self._draining or is_full:
            raise Refusal(
                ProblemType.OVERLOADED,
                "the gateway takes no more of those who follow; try again",
                retry_after_seconds=1,
            )

    async def _serve(
        self, pipe: Pipe, call: Call, receive: ASGIReceiveCallable
    ) -> None:
        socket = WebSocket(
            pipe,
            call.principal,
            self._store.of(call.principal.tenant),
            self._lookups,
            partial(self._watches, call.principal),
            self.metrics,
            queue_bytes=self._settings.gateway_live_queue_bytes,
            subscriptions=self._settings.gateway_live_subscriptions,
        )
        self._sockets[socket] = call
        self.metrics.opened(Transport.WEBSOCKET)
        if self._draining:
            socket.send_away(GOING_AWAY, "the gateway stops; connect again")
        try:
            await socket.serve(receive)
        finally:
            del self._sockets[socket]
            self.metrics.closed(Transport.WEBSOCKET)

    def _open_stream(
        self,
        call: Call,
        cursor: Cursor,
        ids: Sequence[UUID],
        after: dict[UUID, int] | None,
        with_receipts: bool,
    ) -> AsyncGenerator[bytes, None]:
        self._check_room()
        return self._stream(call, cursor, ids, after, with_receipts)

    async def _stream(
        self,
        call: Call,
        cursor: Cursor,
        ids: Sequence[UUID],
        after: dict[UUID, int] | None,
        with_receipts: bool,
    ) -> AsyncGenerator[bytes, None]:
        stream = EventStream(
            cursor,
            ids,
            after,
            partial(self._watches, call.principal),
            self.metrics,
            queue_bytes=self._settings.gateway_live_queue_bytes,
            with_receipts=with_receipts,
        )
        self._streams.add(stream)
        self.metrics.opened(Transport.EVENT_STREAM)
        if self._draining:
            stream.stop()
        events = stream.events(
            self._settings.gateway_live_ping_seconds, partial(self._may_stay, call)
        )
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            self._streams.discard(stream)
            self.metrics.closed(Transport.EVENT_STREAM)

    def _watches(self, principal: Principal, tell: Callable[[News], None]) -> Watches:
        return Watches(principal.tenant, self._feed, self._readings, self.metrics, tell)

    async def _keep(self) -> None:
        """Ping every WebSocket, close those whose key is no longer good, find lost news."""
        while True:
            await asyncio.sleep(self._settings.gateway_live_ping_seconds)
            for watches in self._following():
                watches.look_after()
            for socket, call in list(self._sockets.items()):
                if await self._may_stay(call):
                    socket.ping()
                else:
                    socket.send_away(POLICY_VIOLATION, "the key is no longer good")

    async def _may_stay(self, call: Call) -> bool:
        """Ask again whose key it is. Nobody has to go because the ledger is away."""
        try:
            principal = await self._authenticate(call.headers.get(b"authorization"))
        except Refusal:
            return False
        except UNAVAILABLE:
            return True
        return principal == call.principal

    def _catch_up(self) -> None:
        """Look up what the bus did not bring while it was away."""
        for watches in self._following():
            watches.catch_up()

    def _following(self) -> list[Watches]:
        sockets = [socket.watches for socket in self._sockets]
        return sockets + [stream.watches for stream in self._streams]


async def _ask_for_an_upgrade(_call: Call) -> Answer:
    raise Refusal(ProblemType.BAD_REQUEST, "this is a WebSocket: ask for an upgrade")


def _choose_subprotocol(
    scope: WebsocketScope, headers: dict[bytes, bytes]
) -> str | None:
    """Return the server's choice, and put a key that came as a subprotocol where it belongs.

    Browsers can send no ``Authorization`` with a WebSocket, and want a choice when they
    have asked.
    """
    offered = scope["subprotocols"]
    keys = [word for word in offered if word.startswith(KEY_PREFIX)]
    if keys:
        headers.setdefault(b"authorization", b"Bearer " + keys[0].encode())
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return keys[0] if keys else None


def _refuse_foreign_pages(call: Call) -> None:
    """Keep pages of other origins out where a caller needs no key.

    A browser lets any page open a WebSocket to any address, loopback included.
    """
    origin = call.headers.get(b"origin")
    if origin is None:
        return
    host = call.headers.get(b"host", b"")
    if urlsplit(origin.decode("latin-1")).netloc != host.decode("latin-1"):
        raise Refusal(
            ProblemType.FORBIDDEN, "without a key, pages of other origins stay out"
        )


async def _refuse(call: Call, answer: Answer, send: ASGISendCallable) -> None:
    """Answer a handshake with a problem instead."""
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status,
            "headers": response_headers(call, answer),
        }
    )
    await send(
        {
            "type": "websocket.http.response.body",
            "body": answer.body,
            "more_body": False,
        }
    )
