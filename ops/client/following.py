"""Staying with one notification over a WebSocket."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import aiohttp
import msgspec

from contracts.problems import Problem, ProblemType
from ops.client.answers import Change
from ops.client.errors import Refused, Unreachable, Unreadable, explained

_PATH = "/api/v1/ws/notifications"
_HEARTBEAT_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.1
_TRIES = 8  #: in a row without a word from the gateway; the pauses between double


#: What the gateway says when it cannot look now.
_LEDGER_AWAY = "the ledger is not available"

_KINDS = {
    kind.status: kind
    for kind in (
        ProblemType.UNAUTHORIZED,
        ProblemType.FORBIDDEN,
        ProblemType.NOT_FOUND,
    )
}


class _Frame(msgspec.Struct):
    """An error, or else a change."""

    error: str | None = None
    notification_id: str | None = None


_frame = msgspec.json.Decoder(_Frame)
_change = msgspec.json.Decoder(Change)


async def follow(
    session: aiohttp.ClientSession, url: str, id_: UUID
) -> AsyncGenerator[Change, None]:
    """Yield the present status and then every change; return after the last one."""
    seen = 0
    tries = 0
    while True:
        try:
            async for change in _once(session, url, id_):
                tries = 0
                if change.sequence > seen:
                    seen = change.sequence
                    yield change
                if change.is_final:
                    return
        except Unreachable:
            tries += 1
            if tries == _TRIES:
                raise
        await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**tries)


async def _once(
    session: aiohttp.ClientSession, url: str, id_: UUID
) -> AsyncGenerator[Change, None]:
    """Yield changes until the connection ends."""
    asked = {"action": "subscribe", "notification_id": str(id_)}
    with explained(url):
        try:
            socket = await session.ws_connect(
                f"{url}{_PATH}", heartbeat=_HEARTBEAT_SECONDS
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status >= 500 or error.status == 429:
                raise Unreachable(f"{url} is not ready: {error.status}") from error
            raise _refused(
                _KINDS.get(error.status, ProblemType.BAD_REQUEST),
                f"{url} lets nobody follow: {error.status}",
            ) from error
        async with socket:
            await socket.send_json(asked)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                yield _read(message.data, url)


def _read(text: str, url: str) -> Change:
    try:
        frame = _frame.decode(text)
        if frame.error is None:
            return _change.decode(text)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"{url} does not answer like a gateway: {error}") from error
    if frame.error.startswith(_LEDGER_AWAY):
        raise Unreachable(frame.error)
    raise _refused(ProblemType.NOT_FOUND, frame.error)


def _refused(kind: ProblemType, detail: str) -> Refused:
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=_PATH,
        correlation_id="",
    )
    return Refused(problem, None)
