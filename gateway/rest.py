"""The Quart application: every route, and everything that matches none."""

from collections.abc import Awaitable, Callable

from quart import (
    Quart,
    Request,
    Response,
    Websocket,
    has_websocket_context,
    request,
    websocket,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from contracts.limits import BATCH_AT_MOST_BYTES
from contracts.problems import ProblemType
from gateway.bodies import read_nothing, refuse_declared, too_large
from gateway.door import Door, open_call, response_headers
from gateway.errors import Refusal
from gateway.routing import Answer, Call, Route
from gateway.upload import Patience, too_slow


class _Word(BaseConverter):
    """A word in a path. ``batch`` is none: it is a path of its own, with its own methods."""

    regex = "(?!batch$)[^/]+"


def build_app(door: Door, routes: list[Route], patience: Patience) -> Quart:
    """Build the application that serves ``routes`` through ``door``."""
    app = Quart("gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BATCH_AT_MOST_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.converters["default"] = _Word
    for route in routes:
        _add(app, door, route, patience)

    async def refuse(error: HTTPException) -> Response:
        call = _call(patience)
        return _response(call, await door.turn_away(call, _refusal_of(error)))

    async def fail(error: Exception) -> Response:
        call = _call(patience)
        return _response(call, door.fail(call, error))

    app.register_error_handler(HTTPException, refuse)
    app.register_error_handler(Exception, fail)
    return app


def _add(app: Quart, door: Door, route: Route, patience: Patience) -> None:
    async def view(**words: str) -> Response:
        call = _call(patience)
        return _response(call, await door.answer(route, call, **words))

    app.add_url_rule(
        route.path,
        endpoint=route.name,
        view_func=view,
        methods=[route.method],
        provide_automatic_options=False,
    )


def _call(patience: Patience) -> Call:
    """Make a call of the request, or of the handshake of a WebSocket, that is served."""
    if has_websocket_context():
        return _open(websocket, read_nothing)
    headers = dict(request.scope["headers"])

    async def read(at_most_bytes: int) -> bytes:
        refuse_declared(headers, at_most_bytes)
        chunks = bytearray()
        try:
            async with patience.for_a_body():
                async for chunk in request.body:
                    chunks += chunk
                    if len(chunks) > at_most_bytes:
                        raise too_large(at_most_bytes)
        except TimeoutError:
            raise too_slow() from None
        return bytes(chunks)

    return _open(request, read)


def _open(asked: Request | Websocket, read: Callable[[int], Awaitable[bytes]]) -> Call:
    path = asked.scope.get("raw_path") or asked.path.encode()
    call = open_call(
        asked.method,
        path.decode(),
        dict(asked.scope["headers"]),
        read,
        asked.scope["client"],
    )
    call.query = asked.scope["query_string"]
    return call


def _response(call: Call, answer: Answer) -> Response:
    response = Response(
        answer.body if answer.stream is None else answer.stream,
        status=answer.status,
        content_type=answer.content_type.decode(),
    )
    if answer.stream is not None:
        response.timeout = None
    for name, value in response_headers(call, answer):
        response.headers[name.decode()] = value.decode("latin-1")
    return response


def _refusal_of(error: HTTPException) -> Refusal:
    match error:
        case MethodNotAllowed():
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return Refusal(
                ProblemType.METHOD_NOT_ALLOWED,
                f"this resource answers to {allowed}",
                headers=[(b"allow", allowed.encode())],
            )
        case NotFound():
            return Refusal(ProblemType.NOT_FOUND, "there is nothing at this path")
    return Refusal(ProblemType.BAD_REQUEST, error.description or "bad request")
