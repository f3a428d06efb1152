"""Finds out who is calling, by their key."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from contracts.keys import hash_key
from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.principals import EVERYONE, Principal
from gateway.store import UNAVAILABLE, KeyHolder

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]{1,256})")

#: Guessed keys must not fill the memory; forgetting all at once costs a lookup each.
_REMEMBERED_AT_MOST = 10_000

#: Of a key's hash: enough to tell keys apart, too little to be the hash.
_NAME_BYTES = 12

#: Has a caller pay for a question, or raises ``rate-limited``.
Pay = Callable[[], Awaitable[None]]


class Authenticate(Protocol):
    """Turns the value of ``Authorization`` into a caller, or raises ``unauthorized``.

    Pays before a key that was never good is looked up: that may be a guess.
    """

    async def __call__(
        self, authorization: bytes | None, pay: Pay | None = None, /
    ) -> Principal: ...


async def let_everyone_in(
    _authorization: bytes | None, _pay: Pay | None = None, /
) -> Principal:
    """Authenticate nobody: only for a gateway that listens on loopback."""
    return EVERYONE


class Keys(Protocol):
    """Where keys are looked up."""

    async def find_key(self, secret_hash: bytes) -> KeyHolder | None:
        """Return whose key it is, or None when it may not be used (any more)."""
        ...


class _Known(NamedTuple):
    """What a lookup found."""

    at: float
    principal: Principal | None
    expires_at: datetime | None = None


_NOTHING = _Known(float("-inf"), None)


class Keyring:
    """Looks up keys and remembers the answer for a few seconds, whichever it was.

    So a revoked key stops working within that time, and a busy one costs the ledger next
    to nothing. While the ledger is away, a key that was good when it was last looked up is
    good for ``grace_seconds`` more, unless it expires; of any other key nobody knows.
    """

    def __init__(
        self, keys: Keys, remember_seconds: float, grace_seconds: float = 0.0
    ) -> None:
        self._keys = keys
        self._remember_seconds = remember_seconds
        self._grace_seconds = grace_seconds
        self._known: dict[bytes, _Known] = {}
        self._lookups: dict[bytes, asyncio.Task[Principal | None]] = {}

    async def authenticate(
        self, authorization: bytes | None, pay: Pay | None = None, /
    ) -> Principal:
        """Return whose key an ``Authorization`` header carries."""
        if authorization is None:
            raise _unauthorized("an API key is needed: Authorization: Bearer <key>")
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise _unauthorized("Authorization is not of the form: Bearer <key>")
        secret_hash = hash_key(match[1].decode())
        known = self._known.get(secret_hash, _NOTHING)
        principal = known.principal
        if time.monotonic() >= known.at + self._remember_seconds:
            if principal is None and pay is not None:
                await pay()
            try:
                principal = await self._look_up(secret_hash)
            except UNAVAILABLE:
                if not self._has_grace(known):
                    raise
        if principal is None:
            raise _unauthorized("the API key is unknown, expired or revoked")
        return principal

    def _has_grace(self, known: _Known) -> bool:
        return (
            known.principal is not None
            and time.monotonic() < known.at + self._grace_seconds
            and (known.expires_at is None or datetime.now(UTC) < known.expires_at)
        )

    async def _look_up(self, secret_hash: bytes) -> Principal | None:
        """Ask the ledger; callers with the same key share one question.

        The question outlives a caller that leaves, for the sake of the others.
        """
        lookup = self._lookups.get(secret_hash)
        if lookup is None:
            lookup = asyncio.create_task(self._ask(secret_hash), name="key.lookup")
            self._lookups[secret_hash] = lookup
            lookup.add_done_callback(lambda done: self._looked_up(secret_hash, done))
        return await asyncio.shield(lookup)

    def _looked_up(
        self, secret_hash: bytes, lookup: asyncio.Task[Principal | None]
    ) -> None:
        del self._lookups[secret_hash]
        if not lookup.cancelled():
            lookup.exception()  # every caller may have left; the error is then nobody's

    async def _ask(self, secret_hash: bytes) -> Principal | None:
        holder = await self._keys.find_key(secret_hash)
        known = _Known(time.monotonic(), None)
        if holder is not None:
            name = secret_hash[:_NAME_BYTES].hex()
            principal = Principal(holder.tenant, holder.role, name, holder.who)
            known = _Known(known.at, principal, holder.expires_at)
        if len(self._known) >= _REMEMBERED_AT_MOST:
            self._forget()
        self._known[secret_hash] = known
        return known.principal

    def _forget(self) -> None:
        """Make room: guesses go first, for keys that are good may be needed without the ledger."""
        self._known = {h: k for h, k in self._known.items() if k.principal is not None}
        if len(self._known) >= _REMEMBERED_AT_MOST:
            self._known.clear()


def _unauthorized(detail: str) -> Refusal:
    return Refusal(
        ProblemType.UNAUTHORIZED, detail, headers=[(b"www-authenticate", b"Bearer")]
    )
