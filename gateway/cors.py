"""Lets scripts of other origins in: those that are named, none by default."""

from collections.abc import Iterable

from hypercorn.typing import ASGISendCallable, ASGISendEvent, HTTPScope

ANY = "*"

_PREFLIGHT_SECONDS = 600

_EXPOSED = (
    "Location, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replay,"
    " X-Correlation-ID"
)
_SENT = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Tocsin-Operator,"
    " traceparent, tracestate, X-Correlation-ID"
)
_METHODS = "GET, POST, PUT, PATCH, DELETE"


class Cors:
    """Which origins may read what the gateway answers. No cookie is ever involved."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = ANY.encode() in self._origins
        self.is_on = bool(self._origins)

    def origin_of(self, scope: HTTPScope) -> bytes | None:
        """Return the origin of a request, if scripts of that origin are let in."""
        for name, value in scope["headers"]:
            if name == b"origin":
                return value if self._any or value in self._origins else None
        return None

    def shown_to(self, origin: bytes, send: ASGISendCallable) -> ASGISendCallable:
        """Wrap ``send`` so that the origin's scripts may read the response."""

        async def show(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [
                    *event["headers"],
                    (b"access-control-allow-origin", origin),
                    (b"access-control-expose-headers", _EXPOSED.encode()),
                    (b"vary", b"origin"),
                ]
            await send(event)

        return show


def is_preflight(scope: HTTPScope) -> bool:
    """Say whether a browser asks whether it may ask."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


async def permit(
    send: ASGISendCallable, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Answer a preflight, with the headers of its call; ``send`` is the origin's."""
    await send(
        {
            "type": "http.response.start",
            "status": 204,
            "headers": [
                *headers,
                (b"access-control-allow-methods", _METHODS.encode()),
                (b"access-control-allow-headers", _SENT.encode()),
                (b"access-control-max-age", b"%d" % _PREFLIGHT_SECONDS),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
