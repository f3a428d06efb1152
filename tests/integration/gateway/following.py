"""Clients that follow notifications, and changes for them to follow."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import aiohttp

from contracts import messages, subjects
from contracts.channels import Channel, Priority
from contracts.lifecycle import FINAL, Status
from contracts.messages import StatusChanged
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.publisher import announce
from tests.integration.gateway.gateways import RunningGateway

SOCKET = "/api/v1/ws/notifications"

_CHANGE = """
WITH changed AS (
  UPDATE notification
     SET status = $2, sequence = sequence + 1, updated_at = now(),
         attempts = attempts + ($2 = 'processing')::integer,
         queued_at = CASE WHEN $3 THEN NULL ELSE queued_at END
   WHERE id = $1
  RETURNING *
), traced AS (
  INSERT INTO notification_event (notification_id, sequence, event, details)
  SELECT id, sequence, status, jsonb_build_object('attempt', attempts) FROM changed
)
SELECT * FROM changed
"""


class Mesh:
    """Moves notifications as dispatchers do: commit, then tell."""

    def __init__(self, ledger: Ledger, bus: Bus) -> None:
        self._ledger = ledger
        self._bus = bus

    async def commit(self, id_: str | UUID, status: Status) -> StatusChanged:
        """Change a status, and tell nobody."""
        [row] = await self._ledger.fetch(
            _CHANGE, UUID(str(id_)), status, status in FINAL
        )
        return StatusChanged(
            notification_id=row["id"],
            tenant=row["tenant"],
            channel=Channel(row["channel"]),
            priority=Priority(row["priority"]),
            status=Status(row["status"]),
            attempts=row["attempts"],
            sequence=row["sequence"],
            at=row["updated_at"],
            correlation_id=row["correlation_id"],
            batch_id=row["batch_id"],
        )

    async def tell(self, *changes: StatusChanged) -> None:
        await announce(
            self._bus,
            [
                (
                    subjects.status(
                        change.tenant,
                        change.channel,
                        change.status,
                        change.notification_id,
                    ),
                    messages.encode(change),
                )
                for change in changes
            ],
        )

    async def move(self, id_: str | UUID, *statuses: Status) -> None:
        for status in statuses:
            await self.tell(await self.commit(id_, status))


class Follower:
    """One WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def subscribe(self, **target: Any) -> None:
        await self.socket.send_json({"action": "subscribe", **target})

    async def unsubscribe(self, **target: Any) -> None:
        await self.socket.send_json({"action": "unsubscribe", **target})

    async def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self.socket.receive_json(timeout=5)
        return frame

    async def frames(self, count: int) -> list[dict[str, Any]]:
        return [await self.frame() for _ in range(count)]

    async def statuses(self, count: int) -> list[str]:
        return [frame["status"] for frame in await self.frames(count)]

    async def follow(self, id_: str) -> dict[str, Any]:
        """Subscribe to a notification and return where it stands."""
        await self.subscribe(notification_id=id_)
        return await self.frame()

    async def is_quiet(self) -> bool:
        """Say whether nothing waits: an answer comes after everything sent before it."""
        await self.socket.send_str("nonsense")
        return "error" in await self.frame()

    async def closed(self) -> int:
        """Read on until the server has closed, and return why."""
        while True:
            message = await self.socket.receive(timeout=10)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                assert self.socket.close_code is not None
                return self.socket.close_code
            assert message.type is aiohttp.WSMsgType.TEXT


@asynccontextmanager
async def following(
    gateway: RunningGateway, *, key: str | None = None, protocols: Sequence[str] = ()
) -> AsyncIterator[Follower]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with gateway.http.ws_connect(
        SOCKET, headers=headers, protocols=protocols
    ) as socket:
        yield Follower(socket)


class Events:
    """One event stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> str | None:
        """Return the next event or comment, or None when the stream has ended."""
        lines: list[str] = []
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                return "".join(lines)
            lines.append(line)
        return None

    async def event(self) -> tuple[str, dict[str, Any]] | None:
        """Return the id and the data of the next event; None at the end."""
        while (block := await self.block()) is not None:
            fields = dict(
                line.split(": ", 1) for line in block.splitlines() if ": " in line
            )
            if "data" in fields:
                return fields["id"], json.loads(fields["data"])
        return None

    async def rest(self) -> list[tuple[str, dict[str, Any]]]:
        events = []
        while (event := await self.event()) is not None:
            events.append(event)
        return events


@asynccontextmanager
async def streaming(
    gateway: RunningGateway, path: str, **headers: str
) -> AsyncIterator[Events]:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    timeout = aiohttp.ClientTimeout(total=20)
    async with gateway.http.get(path, headers=spelled, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        yield Events(response)
