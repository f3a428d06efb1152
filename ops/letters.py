"""Dead letters and erasures through the gateway's API, as the `tocsin` command uses it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import msgspec

from contracts.messages import UtcTime
from contracts.operations import LetterFilter, OperationState
from contracts.oversight import OPERATOR_HEADER
from ops import client
from ops.client import Answer, Gateway, GatewayError

LETTERS = "/api/v1/dead-letters"
OPERATIONS = f"{LETTERS}/operations"
ERASURES = "/api/v1/privacy/erasures"

_PAGE = 100
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 60.0


class Letter(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A dead letter as the gateway shows it."""

    id: UUID
    notification_id: UUID
    channel: str
    priority: str
    class_: str
    reason: str
    attempts: int
    failed_at: UtcTime
    state: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of dead letters, each as it came."""

    items: list[msgspec.Raw]
    next_cursor: UUID | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Dead letters that died of the same."""

    channel: str
    class_: str
    reason: str
    count: int
    first: UtcTime
    last: UtcTime


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """The largest groups."""

    groups: list[Group]


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done."""

    count: int
    refused: dict[str, int] = {}
    samples: list[Letter] = []


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """How far an operation has come."""

    id: UUID
    kind: str
    state: OperationState
    total: int
    done: int
    refused: int
    who: str = ""
    reason: str = ""
    created_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    rate_per_second: float | None = None


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """The newest operations."""

    items: list[Operation]


class Letters:
    """The operators' side of one gateway. ``name`` goes on record beside the key."""

    def __init__(self, gateway: Gateway, name: str | None = None) -> None:
        self._gateway = gateway
        self._headers = {} if not name else {OPERATOR_HEADER: name}

    async def page(
        self, which: LetterFilter, state: str, limit: int, cursor: UUID | None = None
    ) -> Answer[Page]:
        """Ask for a page, newest first."""
        query = {**_query(which), "state": state, "limit": str(limit)}
        if cursor is not None:
            query["cursor"] = str(cursor)
        return await self._gateway.ask("GET", LETTERS, Page, params=query)

    async def each(self, which: LetterFilter, state: str) -> AsyncIterator[bytes]:
        """Yield every dead letter as it came, newest first."""
        cursor: UUID | None = None
        while True:
            page = (await self.page(which, state, _PAGE, cursor)).value
            for item in page.items:
                yield bytes(item)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def groups(self, which: LetterFilter) -> Answer[Groups]:
        """Ask what the open ones died of."""
        return await self._gateway.ask(
            "GET", f"{LETTERS}/groups", Groups, params=_query(which)
        )

    async def forecast(self, path: str, body: dict[str, Any]) -> Answer[Forecast]:
        """Ask what would be done."""
        return await self._post(path, Forecast, {**body, "dry_run": True})

    async def begin(
        self, path: str, body: dict[str, Any], key: str | None = None
    ) -> Answer[Operation]:
        """Have something done; with the same key and body once."""
        return await self._post(path, Operation, body, key)

    async def operations(self) -> Answer[Operations]:
        """Ask for the newest operations on dead letters."""
        return await self._gateway.ask("GET", OPERATIONS, Operations)

    async def stop(self, path: str) -> Answer[Operation]:
        """Stop an operation."""
        return await self._gateway.ask("DELETE", path, Operation, headers=self._headers)

    async def end_of(
        self,
        path: str,
        progress: Callable[[Operation], None],
        waiting: Callable[[GatewayError, float], None],
    ) -> Answer[Operation]:
        """Ask until an operation is over; ``progress`` is told how far it is each time."""
        never = asyncio.Event()
        while True:
            answer = await client.patiently(
                lambda: self._gateway.ask("GET", path, Operation),
                at_most_seconds=_PATIENCE_SECONDS,
                waiting=waiting,
                stopping=never,
            )
            progress(answer.value)
            if answer.value.state != OperationState.RUNNING:
                return answer
            await asyncio.sleep(_LOOK_SECONDS)

    async def _post(
        self, path: str, type_: Any, body: dict[str, Any], key: str | None = None
    ) -> Answer[Any]:
        headers = {**self._headers, "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = msgspec.json.encode(body)
        return await self._gateway.ask("POST", path, type_, data=data, headers=headers)


def _query(which: LetterFilter) -> dict[str, str]:
    fields = msgspec.to_builtins(which)
    return {name: str(value) for name, value in fields.items() if name != "ids"}
