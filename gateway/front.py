"""The ASGI application the server calls: a short way for busy routes, Quart for the rest.

The two routes that carry nearly all traffic have fixed paths and need nothing of what
Quart does for a request, which costs half as much again. So their calls go from
the server straight to the door. Handlers and door are the same either way.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    Scope,
)

from gateway.bodies import read_nothing, refuse_declared
from gateway.cors import Cors, is_preflight, permit
from gateway.door import Door, call_headers, open_call, response_headers
from gateway.errors import ClientGone
from gateway.proxies import Proxies
from gateway.routing import Answer, Call, Route
from gateway.upload import Patience, Upload


class Front:
    """Sends each request to the door, directly or by way of Quart.

    WebSockets at the paths of ``sockets`` go to their applications.
    """

    def __init__(
        self,
        door: Door,
        quart: ASGIFramework,
        direct: Iterable[Route],
        *,
        sockets: Mapping[str, ASGIFramework],
        patience: Patience,
        proxies: Proxies,
        cors: Cors,
    ) -> None:
        self._door = door
        self._quart = quart
        self._sockets = sockets
        self._direct = {(route.method, route.path): route for route in direct}
        self._patience = patience
        self._proxies = proxies
        self._cors = cors

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one scope."""
        if scope["type"] == "http" or scope["type"] == "websocket":
            scope["client"] = self._proxies.see_through(scope)
        if scope["type"] == "websocket":
            app = self._sockets.get(scope["path"], self._quart)
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._quart(scope, receive, send)
            return
        if self._cors.is_on and (origin := self._cors.origin_of(scope)) is not None:
            send = self._cors.shown_to(origin, send)
            if is_preflight(scope):
                await self._permit(scope, send)
                return
        upload = Upload(receive, self._patience)
        route = self._direct.get((scope["method"], scope["path"]))
        if route is None:
            await self._quart(scope, upload.receive, upload.then_finish(send))
        else:
            await self._serve(route, scope, upload, send)

    async def _permit(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        """Answer a preflight, which costs nothing."""
        call = _open(scope, dict(scope["headers"]), read_nothing)
        self._door.recognize(call)
        await permit(send, call_headers(call))

    async def _serve(
        self, route: Route, scope: HTTPScope, upload: Upload, send: ASGISendCallable
    ) -> None:
        headers = dict(scope["headers"])

        async def read(at_most_bytes: int) -> bytes:
            refuse_declared(headers, at_most_bytes)
            return await upload.read(at_most_bytes)

        call = _open(scope, headers, read)
        try:
            answer = await self._door.answer(route, call)
        except ClientGone:
            return
        await _respond(call, answer, upload, send)


def _open(
    scope: HTTPScope,
    headers: dict[bytes, bytes],
    read: Callable[[int], Awaitable[bytes]],
) -> Call:
    return open_call(
        scope["method"],
        scope["raw_path"].decode(),
        headers,
        read,
        scope["client"],
    )


async def _respond(
    call: Call, answer: Answer, upload: Upload, send: ASGISendCallable
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": response_headers(call, answer),
        }
    )
    if not upload.is_over:
        await send(
            {"type": "http.response.body", "body": answer.body, "more_body": True}
        )
        await upload.discard()
        answer.body = b""
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
