"""A gateway in memory: the routes that the tocsin command uses, as the contract has them."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from contracts.ids import new_id
from contracts.problems import ProblemType

Document = dict[str, Any]


def problem(
    kind: ProblemType,
    detail: str,
    *,
    errors: list[Document] | None = None,
    retry_after: int | None = None,
) -> web.Response:
    document: Document = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": "/api/v1/notifications",
        "correlation_id": "c-1",
    }
    if errors:
        document["errors"] = errors
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response(
        document,
        status=kind.status,
        content_type="application/problem+json",
        headers=headers,
    )


def rate_limited(retry_after: int) -> web.Response:
    return problem(
        ProblemType.RATE_LIMITED, "too many requests", retry_after=retry_after
    )


@dataclass
class SmallGateway:
    """What it was asked, what it has, and what it is told to do next."""

    url: str = ""
    #: Answers given instead of the real one, in turn; None lets a request through.
    scripted: list[Callable[[], web.Response] | None] = field(default_factory=list)
    #: Statuses that a notification goes through, one for each time it is asked for.
    path: list[str] = field(default_factory=lambda: ["processing", "delivered"])
    #: Holds back the answers to POSTs until it is set.
    open: asyncio.Event = field(default_factory=asyncio.Event)
    posts: list[Document] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    notifications: dict[str, Document] = field(default_factory=dict)
    batches: dict[str, Document] = field(default_factory=dict)
    _answers: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def recipients(self) -> list[str]:
        """Everyone who gets something, as often as they get it."""
        return [item["recipient"] for item in self.notifications.values()]

    def accept(self, item: Document) -> Document:
        now = datetime.now(UTC)
        stored = {
            **item,
            "id": str(new_id()),
            "priority": item.get("priority", "normal"),
            "status": "queued",
            "attempts": 0,
            "max_attempts": 5,
            "created_at": now.isoformat(),
            "updated_at": now.isoformat(),
        }
        self.notifications[stored["id"]] = stored
        return stored

    async def create(self, request: web.Request) -> web.Response:
        return await self._once(request, self.accept)

    async def create_batch(self, request: web.Request) -> web.Response:
        def accept(document: Document) -> Document:
            members = [self.accept(item) for item in document["notifications"]]
            batch: Document = {
                "id": str(new_id()),
                "size": len(members),
                "correlation_id": "c-1",
                "created_at": datetime.now(UTC).isoformat(),
            }
            self.batches[batch["id"]] = {**batch, "notifications": members}
            return batch

        return await self._once(request, accept)

    async def _once(
        self, request: web.Request, accept: Callable[[Document], Document]
    ) -> web.Response:
        body = await request.read()
        self.authorization.append(request.headers.get("Authorization"))
        self.keys.append(request.headers["Idempotency-Key"])
        self.posts.append(json.loads(body))
        await self.open.wait()
        if self.scripted and (answer := self.scripted.pop(0)) is not None:
            return answer()
        key = f"{request.path} {request.headers['Idempotency-Key']}"
        digest = hashlib.sha256(body).hexdigest()
        if key in self._answers:
            text, known = self._answers[key]
            if known != digest:
                return problem(
                    ProblemType.IDEMPOTENCY_KEY_MISMATCH, "used with another body"
                )
            return web.Response(
                body=text,
                content_type="application/json",
                headers={"Idempotent-Replay": "true"},
            )
        text = json.dumps(accept(json.loads(body))).encode()
        self._answers[key] = (text, digest)
        return web.Response(status=202, body=text, content_type="application/json")

    async def show(self, request: web.Request) -> web.Response:
        found = self.notifications.get(request.match_info["id"])
        if found is None:
            return problem(ProblemType.NOT_FOUND, "there is no such notification")
        self._move(found)
        return web.json_response(found)

    async def show_batch(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        for member in batch["notifications"]:
            self._move(member)
        counts = Counter(member["status"] for member in batch["notifications"])
        return web.json_response({**batch, "counts": counts})

    def _move(self, found: Document) -> None:
        """Let a notification go one step on its path."""
        reached = found["status"]
        position = self.path.index(reached) + 1 if reached in self.path else 0
        if position < len(self.path):
            found["status"] = self.path[position]
            if found["status"] == "delivered":
                found |= {"attempts": 1, "provider": "webhook"}
            if found["status"] == "failed":
                reason = {
                    "failure_class": "permanent",
                    "failure_reason": "no such number",
                }
                found |= {"attempts": 1, **reason}

    async def trace(self, request: web.Request) -> web.Response:
        found = self.notifications[request.match_info["id"]]
        began = datetime.fromisoformat(found["created_at"])
        steps = [
            ("created", 0),
            ("queued", 0.01),
            ("processing", 5),
            ("delivered", 5.1),
        ]
        entries = [
            {
                "id": str(new_id()),
                "event": event,
                "correlation_id": "c-1",
                "created_at": (began + timedelta(seconds=after)).isoformat(),
                "details": {"attempt": 1} if event == "processing" else {},
            }
            for event, after in steps
        ]
        return web.json_response({"notification_id": found["id"], "entries": entries})

    def app(self) -> web.Application:
        app = web.Application(client_max_size=16 << 20)
        base = "/api/v1/notifications"
        app.add_routes(
            [
                web.post(base, self.create),
                web.post(f"{base}/batch", self.create_batch),
                web.get(f"{base}/batch/{{id}}", self.show_batch),
                web.get(f"{base}/{{id}}", self.show),
                web.get(f"{base}/{{id}}/trace", self.trace),
            ]
        )
        return app


@asynccontextmanager
async def running_gateway() -> AsyncIterator[SmallGateway]:
    """Serve one on a free port."""
    gateway = SmallGateway()
    runner = web.AppRunner(gateway.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    gateway.url = f"http://127.0.0.1:{port}"
    try:
        yield gateway
    finally:
        gateway.open.set()
        await runner.cleanup()
