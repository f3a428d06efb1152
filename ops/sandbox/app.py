"""The sandbox's routes."""

from typing import Annotated, Any

import aiohttp
import msgspec
from aiohttp import web

from contracts.channels import Channel
from contracts.problems import ProblemType
from ops.sandbox import page, problems
from ops.sandbox.behaviour import Behaviour
from ops.sandbox.metrics import Metrics
from ops.sandbox.pauses import Pauses
from ops.sandbox.provider import MAX_BODY_BYTES, Reply, Sandbox
from ops.sandbox.receipts import Order, Receipts

MAX_LIMIT = 100_000
HOLD_SECONDS = 30.0
"""How long mode timeout keeps a connection; longer than a sender waits."""

_encode = msgspec.json.Encoder().encode
_decode_order = msgspec.json.Decoder(Order).decode
_decode_behaviour = msgspec.json.Decoder(Behaviour).decode


class MessageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 100
    to: str | None = None
    to_contains: str | None = None
    channel: Channel | None = None
    idempotency_key: str | None = None


class Routes:
    def __init__(
        self,
        sandbox: Sandbox,
        metrics: Metrics,
        pauses: Pauses,
        receipts: Receipts | None,
    ) -> None:
        self._sandbox = sandbox
        self._metrics = metrics
        self._pauses = pauses
        self._receipts = receipts

    def add_to(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.post("/send", self.send),
                web.get("/messages", self.list_messages),
                web.delete("/messages", self.clear_messages),
                web.post("/receipts", self.send_receipt),
                web.get("/stats", self.show_stats),
                web.get("/behaviour", self.show_behaviour),
                web.put("/behaviour", self.change_behaviour),
                web.get("/", self.show_page),
                web.get("/healthz/live", self.live),
                web.get("/healthz/ready", self.ready),
                web.get("/metrics", self.show_metrics),
            ]
        )

    async def send(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            reply = self._sandbox.refuse_oversized()
        else:
            reply = self._sandbox.receive(body, request.headers.get("Idempotency-Key"))
        if reply.answer.status is None:
            return await self._cut(request, reply.answer.instead)
        if reply.delay_seconds:
            await self._pauses.hold(reply.delay_seconds)
        return _render(reply)

    async def list_messages(self, request: web.Request) -> web.Response:
        try:
            query = msgspec.convert(dict(request.query), MessageQuery, strict=False)
        except msgspec.ValidationError as error:
            return _refuse(problems.in_query(error))
        return _json(
            self._sandbox.inbox.find(
                limit=query.limit,
                to=query.to,
                to_contains=query.to_contains,
                channel=query.channel,
                idempotency_key=query.idempotency_key,
            )
        )

    async def clear_messages(self, _: web.Request) -> web.Response:
        self._sandbox.clear()
        return web.Response(status=204)

    async def send_receipt(self, request: web.Request) -> web.Response:
        """Tell the gateway what became of a message, and show what it answers."""
        if self._receipts is None:
            return _refuse(
                problems.plain(
                    ProblemType.DEPENDENCY_UNAVAILABLE,
                    "Receipts need TOCSIN_SANDBOX_RECEIPTS_URL and …_SECRET",
                )
            )
        try:
            order = _decode_order(await request.read())
        except problems.UNDECODABLE as error:
            return _refuse(problems.in_body(error))
        key = order.idempotency_key
        messages = self._sandbox.inbox.find(limit=1, idempotency_key=key)
        if not messages:
            return _refuse(
                problems.plain(
                    ProblemType.NOT_FOUND, "No message here has this idempotency_key"
                )
            )
        try:
            return _json(await self._receipts.send(order, messages[0]))
        except (aiohttp.ClientError, TimeoutError) as error:
            return _refuse(
                problems.plain(
                    ProblemType.DEPENDENCY_UNAVAILABLE,
                    f"The gateway did not answer: {type(error).__name__}",
                )
            )

    async def show_stats(self, _: web.Request) -> web.Response:
        return _json(self._sandbox.inbox.stats())

    async def show_behaviour(self, _: web.Request) -> web.Response:
        return _json(self._sandbox.behaviour)

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Replace the whole behaviour; what is left out goes back to its default."""
        try:
            self._sandbox.behaviour = _decode_behaviour(await request.read())
        except problems.UNDECODABLE as error:
            return _refuse(problems.in_body(error))
        return _json(self._sandbox.behaviour)

    async def show_page(self, _: web.Request) -> web.Response:
        return web.Response(body=page.BODY, headers=page.HEADERS)

    async def live(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        if self._pauses.released:
            return _json({"status": "stopping"}, status=503)
        return _json({"status": "ok"})

    async def show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _cut(
        self, request: web.Request, instead: bytes | None
    ) -> web.StreamResponse:
        if instead is None:
            await self._pauses.hold(HOLD_SECONDS)
        if request.transport is not None and instead:
            request.transport.write(instead)
            request.transport.close()
        elif request.transport is not None:
            request.transport.abort()
        return web.Response()


def create_app(
    sandbox: Sandbox,
    metrics: Metrics,
    pauses: Pauses,
    receipts: Receipts | None = None,
) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    Routes(sandbox, metrics, pauses, receipts).add_to(app)
    return app


def _render(reply: Reply) -> web.Response:
    if isinstance(reply.body, problems.Problem):
        return _refuse(reply.body)
    answer = reply.answer
    headers = {"Content-Type": "application/json"}
    if answer.retry_after_seconds is not None:
        headers["Retry-After"] = str(answer.retry_after_seconds)
    return web.Response(
        body=_encode(reply.body), status=answer.status or 500, headers=headers
    )


def _refuse(problem: problems.Problem) -> web.Response:
    return web.Response(
        body=_encode(problem),
        status=problem.status,
        headers={"Content-Type": "application/problem+json"},
    )


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=_encode(value),
        status=status,
        headers={"Content-Type": "application/json"},
    )
