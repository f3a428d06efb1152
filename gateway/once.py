"""Does small changes once for each ``Idempotency-Key``, in one transaction with its answer."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from gateway.acceptance import Acceptance, key_of, owner_of
from gateway.errors import KeyInFlight, Refusal
from gateway.routing import Answer, Call
from gateway.store import Store, TenantStore
from gateway.submissions import KeyOwner

#: Makes a change with a store whose transaction is open, and says what to answer. What it
#: raises undoes the change and frees the key.
Act = Callable[[TenantStore], Awaitable[Answer]]


class Once:
    """Runs changes; those whose key was answered before are answered again, not made."""

    def __init__(
        self, store: Store, acceptance: Acceptance, *, idempotency_hours: float
    ) -> None:
        self._store = store
        self._acceptance = acceptance
        self._remembered = timedelta(hours=idempotency_hours)
        self._in_flight: set[KeyOwner] = set()

    async def run(self, call: Call, body: bytes, act: Act) -> Answer:
        """Make a change and answer; or, for a key that has an answer, give that."""
        store = self._store.of(call.principal.tenant)
        key = key_of(call)
        if key is None:
            async with store.transaction() as transaction:
                return await act(transaction)
        owner = owner_of(call, key)
        if owner in self._in_flight:
            raise KeyInFlight
        self._in_flight.add(owner)
        try:
            return await self._with_key(call, owner, body, act)
        finally:
            self._in_flight.discard(owner)

    @asynccontextmanager
    async def reading(self, call: Call, body: bytes) -> AsyncIterator[None]:
        """Let a body be refused in the block, unless its key had another: then that is said."""
        try:
            yield
        except Refusal:
            await self._acceptance.compare(call, body)
            raise

    async def compare(self, call: Call, body: bytes) -> None:
        """Raise the mismatch when the key of a call was answered to another body."""
        await self._acceptance.compare(call, body)

    async def _with_key(
        self, call: Call, owner: KeyOwner, body: bytes, act: Act
    ) -> Answer:
        body_hash = hashlib.sha256(body).digest()
        expires_at = datetime.now(UTC) + self._remembered
        async with self._store.of(owner.tenant).transaction() as transaction:
            if await transaction.reserve(
                owner, body_hash, call.correlation_id, expires_at
            ):
                answer = await act(transaction)
                correlation_id = answer.correlation_id or call.correlation_id
                await transaction.remember(owner, answer.body, correlation_id)
                return answer
        return await self._acceptance.replay(owner, body_hash)
