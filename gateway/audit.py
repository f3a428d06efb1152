"""What operators do is written down with who and why, and announced once it is done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import nats.errors
import structlog

from contracts import messages, subjects
from contracts.messages import OperatorActed
from contracts.oversight import (
    OPERATOR_AT_MOST_CHARACTERS,
    OPERATOR_HEADER,
    Action,
    AuditEntry,
    Effect,
)
from contracts.problems import ProblemType
from contracts.topology import CONTROLS
from gateway.audit_store import AuditStore, Deed, Loose, left_behind
from gateway.errors import Refusal
from gateway.metrics import Metrics
from gateway.once import Once
from gateway.routing import Answer, Call
from gateway.store import UNAVAILABLE, TenantStore
from ops.runtime.bus import Bus
from ops.runtime.errors import BusUnavailable
from ops.runtime.ledger import Ledger
from ops.runtime.publisher import announce
from ops.runtime.tasks import first_of, keep_running, wait_for_stop
from ops.runtime.values import was_stored

log = structlog.stdlib.get_logger()

#: The bus or the ledger; what could not be done now is done by whoever looks later.
_AWAY: tuple[type[Exception], ...] = (
    BusUnavailable,
    nats.errors.Error,
    *UNAVAILABLE,
)

_LOOK_SECONDS = 2.0
_PAGE = 50


class Begun(NamedTuple):
    """What a transaction answers, and its entry in the audit, if it made one."""

    answer: Answer
    entry: AuditEntry | None


def who_of(call: Call) -> str:
    """Return who is on record for a call: the person it names, the key, or both."""
    sent = call.headers.get(OPERATOR_HEADER.lower().encode())
    if sent is None:
        return call.principal.who
    try:
        name = sent.decode().strip()
    except UnicodeDecodeError:
        name = ""
    if not (name.isprintable() and 1 <= len(name) <= OPERATOR_AT_MOST_CHARACTERS):
        raise Refusal(
            ProblemType.BAD_REQUEST,
            f"{OPERATOR_HEADER} names a person in 1 to {OPERATOR_AT_MOST_CHARACTERS}"
            " printable characters",
        )
    return f"{name}, {call.principal.who}" if call.principal.key else name


class Audit:
    """Writes entries and announces them.

    An entry whose gateway died before it was settled or announced is looked after by any
    gateway, ``patience_seconds`` later: what became of it is found out, never made up for.
    """

    def __init__(
        self, ledger: Ledger, bus: Bus, metrics: Metrics, *, patience_seconds: float
    ) -> None:
        self._ledger = ledger
        self._bus = bus
        self._metrics = metrics
        self._patience_seconds = patience_seconds
        self.store = AuditStore(ledger)

    async def record(
        self,
        transaction: TenantStore,
        call: Call,
        action: Action,
        target: str,
        reason: str,
        **details: Any,
    ) -> AuditEntry:
        """Write down what a transaction does; tell it when that has committed."""
        deed = Deed(call.principal.tenant, action, target, who_of(call), reason)
        return await self.store.within(transaction).record(deed, details)

    async def once(
        self,
        once: Once,
        call: Call,
        body: bytes,
        act: Callable[[TenantStore], Awaitable[Begun]],
    ) -> Answer:
        """Have something done once, and announce it when it has committed."""
        entries: list[AuditEntry] = []

        async def recorded(transaction: TenantStore) -> Answer:
            begun = await act(transaction)
            if begun.entry is not None:
                entries.append(begun.entry)
            return begun.answer

        answer = await once.run(call, body, recorded)
        for entry in entries:
            await self.tell(entry)
        return answer

    async def tell(self, entry: AuditEntry) -> None:
        """Announce an entry that is committed; what cannot be sent now is sent later."""
        self._metrics.operator_acted(entry.action, entry.effect)
        try:
            await self._announce(entry)
            await self.store.announced(entry.id)
        except _AWAY as error:
            log.warning("audit.not_announced", id=str(entry.id), error=repr(error))

    async def _announce(self, entry: AuditEntry) -> None:
        told = OperatorActed(
            id=entry.id,
            action=entry.action,
            target=entry.target,
            who=entry.who,
            reason=entry.reason,
            at=entry.at,
            tenant=entry.tenant,
        )
        subject = subjects.mesh_action(entry.action)
        await announce(self._bus, [(subject, messages.encode(told))])

    async def run(self, stopping: asyncio.Event) -> None:
        """Look after entries that others left behind, until told to stop."""

        async def step() -> None:
            await first_of(self._bus.connected, stopping)
            if not stopping.is_set() and await self._look_after() < _PAGE:
                await wait_for_stop(stopping, _LOOK_SECONDS)

        await keep_running(
            "audit",
            step,
            stopping,
            self._metrics.loop_errors,
            _AWAY,
        )

    async def _look_after(self) -> int:
        async with self._ledger.transaction() as connection:
            found = await left_behind(connection, self._patience_seconds, _PAGE)
            store = AuditStore(self._ledger, connection)
            for loose in found:
                await self._settle(store, loose)
        return len(found)

    async def _settle(self, store: AuditStore, loose: Loose) -> None:
        entry = loose.entry
        if entry.effect is Effect.PENDING:
            stored = await was_stored(
                self._bus,
                CONTROLS,
                loose.control_key,
                after=loose.revision,
                entry=entry.id,
            )
            effect = Effect.DONE if stored else Effect.FAILED
            await store.settle(entry.id, effect)
            self._metrics.operator_acted(entry.action, effect)
            log.warning("audit.settled_late", id=str(entry.id), effect=effect)
            if not stored:
                return
        await self._announce(entry)
        await store.announced(entry.id)
