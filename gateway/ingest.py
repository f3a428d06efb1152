"""Requests for notifications over the bus: the same handlers behind another door.

A request is served like the POST it stands for, so an ``Idempotency-Key`` is good on both
ways: what was accepted over HTTP is replayed here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
import nats.errors
import structlog
from nats.micro.request import Request
from nats.micro.service import EndpointConfig

from contracts import subjects
from contracts.keys import Role, is_tenant
from contracts.messages import (
    AUTHORIZATION_HEADER,
    CORRELATION_HEADER,
    IDEMPOTENCY_HEADER,
    LOCATION_HEADER,
    REPLAY_HEADER,
    RETRY_AFTER_HEADER,
    TRACEPARENT_HEADER,
)
from contracts.problems import Problem, ProblemType
from gateway.bodies import too_large
from gateway.door import Door, open_call
from gateway.errors import Refusal
from gateway.principals import Principal
from gateway.routing import Answer, Call, Route, RouteName

log = structlog.stdlib.get_logger()

#: Gateways share the requests among them: each is answered by one.
QUEUE_GROUP = "tocsin-gateway"

#: Requests of one endpoint in work at once; more wait in the client's buffer.
_AT_ONCE = 1_000

#: Headers of a request, as they are called over HTTP.
_TAKEN = {
    AUTHORIZATION_HEADER: b"authorization",
    CORRELATION_HEADER: b"x-correlation-id",
    IDEMPOTENCY_HEADER: b"idempotency-key",
    TRACEPARENT_HEADER: b"traceparent",
}
#: Headers of an answer, from what they are called over HTTP.
_GIVEN = {
    b"location": LOCATION_HEADER,
    b"idempotent-replay": REPLAY_HEADER,
    b"retry-after": RETRY_AFTER_HEADER,
}


class Ingest:
    """Answers requests on the bus through the door."""

    def __init__(
        self, door: Door, routes: Iterable[Route], *, trust_subjects: bool
    ) -> None:
        self._door = door
        self._trust_subjects = trust_subjects
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._in_work: set[asyncio.Task[None]] = set()
        self._draining = False
        by_name = {route.name: route for route in routes}
        self._create = by_name[RouteName.CREATE_NOTIFICATION]
        self._create_batch = by_name[RouteName.CREATE_BATCH]

    def endpoints(self) -> list[EndpointConfig]:
        """Return what is answered: each request with its tenant in the subject or not."""
        return [
            EndpointConfig(
                name=name,
                subject=subject,
                handler=self._handler(route),
                queue_group=QUEUE_GROUP,
            )
            for name, subject, route in (
                ("create", subjects.CREATE, self._create),
                ("batch", subjects.CREATE_BATCH, self._create_batch),
                ("tenant-create", subjects.create("*"), self._create),
                ("tenant-batch", subjects.create("*", batch=True), self._create_batch),
            )
        ]

    async def drain(self) -> None:
        """Begin nothing new, and return when every request in work is answered."""
        self._draining = True
        await asyncio.gather(*self._in_work)

    def _handler(self, route: Route) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            # The client hands over one request at a time; a group commit wants many.
            await self._room.acquire()
            task = asyncio.create_task(self._serve(route, request), name="ingest")
            self._in_work.add(task)
            task.add_done_callback(self._finished)

        return handle

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._room.release()
        self._in_work.discard(task)

    async def _serve(self, route: Route, request: Request) -> None:
        call = self._call(route, request)
        answer = await self._answer(route, request, call)
        headers = {CORRELATION_HEADER: answer.correlation_id or call.correlation_id}
        for name, value in answer.headers:
            if name in _GIVEN:
                headers[_GIVEN[name]] = value.decode("latin-1")
        try:
            if answer.status < 400:
                await request.respond(answer.body, headers)
            else:
                await request.respond_error(
                    str(answer.status), _title(answer), answer.body, headers
                )
        # ValueError: nobody waits for an answer.
        except (nats.errors.Error, ConnectionError, ValueError) as error:
            log.info("ingest.not_answered", error=type(error).__name__)

    async def _answer(self, route: Route, request: Request, call: Call) -> Answer:
        if self._draining:
            return await self._door.turn_away(call, _stopping())
        tenant = subjects.tenant_of(request.subject)
        if tenant is None:
            return await self._door.answer(route, call)
        if not is_tenant(tenant):
            return await self._door.turn_away(call, _no_tenant())
        if self._trust_subjects:
            call.vouched = Principal(tenant, Role.SENDER)
        return await self._door.answer(_only_for(tenant, route), call)

    def _call(self, route: Route, request: Request) -> Call:
        async def read(at_most_bytes: int) -> bytes:
            if len(request.data) > at_most_bytes:
                raise too_large(at_most_bytes)
            return request.data

        headers = _taken(request.headers or {})
        return open_call(route.method, route.path, headers, read)


def _taken(sent: Mapping[str, str]) -> dict[bytes, bytes]:
    # Names are compared as over HTTP: the bus keeps the case they were written in.
    lower = {name.lower(): value for name, value in sent.items()}
    headers = {b"content-type": b"application/json"}
    for name, taken in _TAKEN.items():
        if (value := lower.get(name.lower())) is not None:
            headers[taken] = value.encode(errors="surrogateescape")
    return headers


def _only_for(tenant: str, route: Route) -> Route:
    """Return the route, closed to callers of another tenant than the subject's."""

    async def handler(call: Call) -> Answer:
        if call.principal.tenant != tenant:
            raise Refusal(
                ProblemType.FORBIDDEN, "the subject names another tenant than the key's"
            )
        return await route.handler(call)

    return replace(route, handler=handler)


def _title(answer: Answer) -> str:
    return msgspec.json.decode(answer.body, type=Problem).title


def _stopping() -> Refusal:
    return Refusal(
        ProblemType.OVERLOADED,
        "this gateway is stopping; the same request may be sent again",
        retry_after_seconds=1,
    )


def _no_tenant() -> Refusal:
    return Refusal(ProblemType.BAD_REQUEST, "the subject names no tenant")
