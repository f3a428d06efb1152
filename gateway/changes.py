"""Changes to the controls of the mesh: written down first, then made, then announced."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import nats.errors
import structlog

from contracts import controls
from contracts.controls import AnyControl
from contracts.oversight import Action, AuditEntry, Effect
from contracts.problems import ProblemType
from contracts.topology import CONTROLS, Stream
from gateway.audit import Audit, Begun, who_of
from gateway.audit_store import Deed
from gateway.bodies import read_json
from gateway.errors import Refusal
from gateway.once import Once
from gateway.requests import SINGLE_AT_MOST_BYTES
from gateway.routing import Answer, Call
from gateway.store import TenantStore
from gateway.views import encode
from ops.runtime.bus import Bus
from ops.runtime.controls import change_control
from ops.runtime.errors import ControlChanged
from ops.runtime.values import read_value, read_values

log = structlog.stdlib.get_logger()

#: Two operators who change the same thing at once are both heard, one after the other.
_TRIES = 5
_LEDGER_SECONDS = 5.0

BUS_AWAY = (nats.errors.Error, TimeoutError, ConnectionError)


class Wish(NamedTuple):
    """A change that an operator asks for."""

    action: Action
    target: str
    key: str  #: of the control
    reason: str
    make: Callable[[str, datetime], AnyControl] | None
    """Makes the control, of who and when; None clears it."""
    details: Mapping[str, Any] = MappingProxyType({})
    check: Callable[[], Awaitable[None]] | None = None
    """Refuses what makes no sense as things stand."""


def bus_away() -> Refusal:
    """Return the refusal of what needs the bus while it is away."""
    return Refusal(
        ProblemType.DEPENDENCY_UNAVAILABLE,
        "the bus is not available; nothing was changed, try again",
        retry_after_seconds=1,
    )


async def standing(bus: Bus, bucket: Stream = CONTROLS) -> dict[str, bytes]:
    """Return all values of a bucket; ``dependency-unavailable`` while the bus is away."""
    if not bus.nc.is_connected:
        raise bus_away()
    try:
        return await read_values(bus, bucket)
    except BUS_AWAY as error:
        raise bus_away() from error


class Changes:
    """Makes changes one at a time, so that each knows what was before it."""

    def __init__(self, once: Once, audit: Audit, bus: Bus) -> None:
        self._once = once
        self._audit = audit
        self._bus = bus
        self._one_at_a_time = asyncio.Lock()

    async def make(self, call: Call, wish_in: Callable[[bytes], Wish]) -> Answer:
        """Carry out what a body wishes for and answer 202 with its entry in the audit."""
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        async with self._once.reading(call, body):
            wish = wish_in(body)
        who = who_of(call)

        async def act(transaction: TenantStore) -> Begun:
            entry = await self._carry_out(call, who, wish, transaction)
            return Begun(Answer(202, encode(entry)), entry)

        async with self._one_at_a_time:
            return await self._audit.once(self._once, call, body, act)

    async def _carry_out(
        self, call: Call, who: str, wish: Wish, transaction: TenantStore
    ) -> AuditEntry:
        """Write down, set, and say that it is done.

        The entry commits before the control is set, by itself; that it is done commits with
        the answer. In between, this transaction keeps others from settling it.
        """
        if wish.check is not None:
            await wish.check()
        before = await self._before(wish)
        deed = Deed(call.principal.tenant, wish.action, wish.target, who, wish.reason)
        async with asyncio.timeout(_LEDGER_SECONDS):  # it needs a second connection
            entry = await self._audit.store.begin(
                deed, before.details, key=wish.key, revision=before.revision
            )
        store = self._audit.store.within(transaction)
        if not await store.hold(entry.id):
            raise _unknown()
        control = None if wish.make is None else wish.make(who, entry.at)
        for _ in range(_TRIES):
            try:
                await change_control(
                    self._bus, wish.key, control, over=before.revision, entry=entry.id
                )
            except ControlChanged:
                before = await self._before(wish)
                continue
            except BUS_AWAY as error:
                log.warning("control.not_confirmed", key=wish.key, error=repr(error))
                raise _unknown() from error
            done = await store.settle(entry.id, Effect.DONE, before.details)
            assert done is not None, "it is held"
            return done
        raise _unknown()

    async def _before(self, wish: Wish) -> "_Before":
        if not self._bus.nc.is_connected:
            raise bus_away()
        try:
            value = await read_value(self._bus, CONTROLS, wish.key)
        except BUS_AWAY as error:
            raise bus_away() from error
        previous = None if value.payload is None else _plain(value.payload)
        return _Before(value.revision, {**wish.details, "previous": previous})


class _Before(NamedTuple):
    """What a control was, and what is written down of a change to it."""

    revision: int
    details: dict[str, Any]


def _plain(payload: bytes) -> Any:
    """Return a control as it is written down; one that cannot be read as None."""
    try:
        control = controls.decode(payload)
    except msgspec.DecodeError:
        return None
    told = msgspec.to_builtins(control)
    del told["type"]
    return told


def _unknown() -> Refusal:
    return Refusal(
        ProblemType.DEPENDENCY_UNAVAILABLE,
        "the bus did not confirm the change; the audit will say whether it took effect",
        retry_after_seconds=1,
    )
