"""What idempotency keys were answered, in Redis: the fast layer in front of the ledger.

It is asked and told in groups: everything that gathers while one round trip is under way
is the next. It knows only what was committed or spooled, and may forget anything at any
time: then the ledger or the spool answers (docs/adr/0008).

It keeps no answer, for answers name recipients: it keeps what an answer can be made from
by whoever sends the same body again, and a digest to compare that with.
"""

import asyncio
import hashlib
import time
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import structlog
from redis.asyncio import Redis

from gateway.metrics import Metrics, Recall
from gateway.submissions import KeyOwner
from ops.runtime import limits

log = structlog.stdlib.get_logger()

_SCRIPT = Path(__file__).with_name("answers.lua").read_text()

#: Redis may take so long; then it is left alone for a while, and the ledger answers.
_BUDGET_SECONDS = 0.05
_REST_SECONDS = 1.0

_HASH_BYTES = 32
_ID_BYTES = 16


class Remembered(NamedTuple):
    """What a key was answered, as far as it is kept here."""

    body_hash: bytes
    resource_id: UUID
    response_digest: bytes
    correlation_id: str

    def is_answered_by(self, response: bytes) -> bool:
        """Say whether ``response`` is the answer, to the byte."""
        return digest_of(response) == self.response_digest


def digest_of(response: bytes) -> bytes:
    """Return what tells one answer from another."""
    return hashlib.sha256(response).digest()


class Answers:
    """Asks and tells Redis, one group at a time. Nothing here raises."""

    def __init__(
        self, redis: Redis, metrics: Metrics, *, remember_seconds: float
    ) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._metrics = metrics
        self._remember_milliseconds = max(1, int(remember_seconds * 1000))
        self._asked: list[tuple[str, asyncio.Future[bytes | None]]] = []
        self._told: list[tuple[str, bytes]] = []
        self._talking: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._is_away = False

    async def recall(self, owner: KeyOwner) -> Remembered | None:
        """Return what a key was answered; None when that is not known here."""
        if self._rests():
            self._metrics.recalled(Recall.AWAY)
            return None
        asked: asyncio.Future[bytes | None]
        asked = asyncio.get_running_loop().create_future()
        self._asked.append((_name(owner), asked))
        self._talk()
        found = await asked
        if found is None:
            self._metrics.recalled(Recall.AWAY if self._is_away else Recall.MISS)
            return None
        self._metrics.recalled(Recall.HIT)
        return _unpack(found)

    def remember(self, owner: KeyOwner, remembered: Remembered) -> None:
        """Keep what was just promised; soon, and waiting for nothing."""
        if not self._rests():
            self._told.append((_name(owner), _pack(remembered)))
            self._talk()

    async def drain(self) -> None:
        """Return when Redis has been told everything."""
        if self._talking is not None:
            await self._talking

    def _rests(self) -> bool:
        return self._is_away and time.monotonic() < self._rests_until

    def _talk(self) -> None:
        if self._talking is None or self._talking.done():
            self._talking = asyncio.create_task(self._exchange_all(), name="answers")

    async def _exchange_all(self) -> None:
        while self._asked or self._told:
            asked, self._asked = self._asked, []
            told, self._told = self._told, []
            found: list[bytes | None] = [None] * len(asked)
            try:
                async with asyncio.timeout(_BUDGET_SECONDS):
                    found = await self._exchange([name for name, _ in asked], told)
            except limits.AWAY as error:
                self._rest(error)
            else:
                self._resume()
            for (_, waiting), answer in zip(asked, found, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)

    async def _exchange(
        self, names: list[str], told: list[tuple[str, bytes]]
    ) -> list[bytes | None]:
        return cast(
            "list[bytes | None]",
            await self._script(
                keys=[*names, *(name for name, _ in told)],
                args=[
                    len(names),
                    self._remember_milliseconds,
                    *(packed for _, packed in told),
                ],
            ),
        )

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + _REST_SECONDS
        if not self._is_away:
            self._is_away = True
            log.warning("answers.fell_back", error=repr(error))

    def _resume(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("answers.shared")


def _name(owner: KeyOwner) -> str:
    return f"tocsin:answer:{owner.digest}"


def _pack(remembered: Remembered) -> bytes:
    return b"".join(
        (
            remembered.body_hash,
            remembered.resource_id.bytes,
            remembered.response_digest,
            remembered.correlation_id.encode(),
        )
    )


def _unpack(packed: bytes) -> Remembered:
    id_at, digest_at = _HASH_BYTES, _HASH_BYTES + _ID_BYTES
    words_at = digest_at + _HASH_BYTES
    return Remembered(
        packed[:id_at],
        UUID(bytes=packed[id_at:digest_at]),
        packed[digest_at:words_at],
        packed[words_at:].decode(),
    )
