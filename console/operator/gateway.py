"""The operator's port through a gateway's API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec

from console.operator.asked import LaneTarget, LetterPage, LimitTarget, Sought
from contracts.channels import Channel
from contracts.controls import BreakerOrder
from contracts.operations import LetterFilter, OperationKind
from contracts.oversight import (
    AuditEntry,
    AuditPage,
    FoundList,
    LaneStanding,
    LimitStanding,
    ProviderStanding,
    Schedule,
)
from ops import client
from ops.client import Gateway, Notification, Trace
from ops.letters import (
    LETTERS,
    OPERATIONS,
    Forecast,
    Group,
    Letter,
    Letters,
    Operation,
)


class GatewayOperator:
    """Acts through one gateway; every change carries an idempotency key of its own."""

    def __init__(self, gateway: Gateway, who: str) -> None:
        self.who = who
        self._gateway = gateway
        self._letters = Letters(gateway, who)
        self._ops = client.Operator(gateway, who)

    async def reach(self) -> None:
        """Return when the gateway answers."""
        await self._gateway.reach()

    async def find(self, sought: Sought, limit: int = 20) -> FoundList:
        """Return the notifications that are sought, newest first."""
        answer = await self._ops.find(
            id_=sought.id,
            idempotency_key=sought.idempotency_key,
            recipient_hash=sought.recipient_hash,
            limit=limit,
        )
        return answer.value

    async def notification(self, id_: UUID) -> Notification:
        """Return how a notification stands."""
        return (await self._gateway.notification(id_)).value

    async def trace(self, id_: UUID) -> Trace:
        """Return all that happened to a notification."""
        return (await self._gateway.trace(id_)).value

    async def letter_groups(self, which: LetterFilter) -> list[Group]:
        """Return what the open dead letters died of, the most frequent first."""
        return (await self._letters.groups(which)).value.groups

    async def letters(
        self,
        which: LetterFilter,
        *,
        state: str = "open",
        limit: int = 100,
        cursor: UUID | None = None,
    ) -> LetterPage:
        """Return a page of dead letters, newest first."""
        page = (await self._letters.page(which, state, limit, cursor)).value
        items = [msgspec.json.decode(item, type=Letter) for item in page.items]
        return LetterPage(items=items, next_cursor=page.next_cursor)

    async def operations(self) -> list[Operation]:
        """Return the newest operations, newest first."""
        return (await self._letters.operations()).value.items

    async def operation(self, id_: UUID) -> Operation:
        """Return how far an operation has come."""
        answer = await self._gateway.ask("GET", f"{OPERATIONS}/{id_}", Operation)
        return answer.value

    async def audit(
        self, *, limit: int = 50, before: UUID | None = None, action: str | None = None
    ) -> AuditPage:
        """Return what operators did, newest first."""
        answer = await self._ops.audit(before=before, limit=limit, action=action)
        return answer.value

    async def schedule(self, *, job: str | None = None, limit: int = 50) -> Schedule:
        """Return the scheduler's jobs and their recorded runs."""
        return (await self._ops.schedule(job, limit)).value

    async def lanes(self) -> list[LaneStanding]:
        """Return the lanes with their pauses and limits, and who ordered them."""
        return (await self._ops.lanes()).value.items

    async def breakers(self) -> list[ProviderStanding]:
        """Return the providers' breakers, and what operators ordered them to do."""
        return (await self._ops.breakers()).value.items

    async def limits(self) -> list[LimitStanding]:
        """Return the limits that operators have set."""
        return (await self._ops.limits()).value.items

    async def pause(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Have a lane, or a whole channel, hold back what it has."""
        return (await self._ops.pause(*target, reason=reason)).value

    async def resume(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Take a pause back."""
        return (await self._ops.resume(*target, reason=reason)).value

    async def order_breaker(
        self, provider: str, order: BreakerOrder, reason: str
    ) -> AuditEntry:
        """Order a provider's breaker."""
        return (await self._ops.order_breaker(provider, order, reason=reason)).value

    async def set_limit(
        self, target: LimitTarget, per_second: float, reason: str
    ) -> AuditEntry:
        """Set what a channel or provider may send per second; 0 is unlimited."""
        if target.kind == "channel":
            channel = Channel(target.name)
            setting = self._ops.limit_channel(channel, per_second, reason=reason)
        else:
            setting = self._ops.limit_provider(target.name, per_second, reason=reason)
        return (await setting).value

    async def clear_limit(self, target: LimitTarget, reason: str) -> AuditEntry:
        """Go back to the limit of the settings."""
        if target.kind == "channel":
            channel = Channel(target.name)
            clearing = self._ops.clear_channel_limit(channel, reason=reason)
        else:
            clearing = self._ops.clear_provider_limit(target.name, reason=reason)
        return (await clearing).value

    async def forecast(self, kind: OperationKind, which: LetterFilter) -> Forecast:
        """Say what a replay or discard would do, and do nothing."""
        answer = await self._letters.forecast(f"{LETTERS}/{kind}", _meant(which))
        return answer.value

    async def replay(
        self, which: LetterFilter, *, reason: str, rate_per_second: float
    ) -> Operation:
        """Have failed notifications sent again, at a rate."""
        body = {
            **_meant(which),
            "reason": reason,
            "rate_per_second": rate_per_second,
        }
        return await self._begin(OperationKind.REPLAY, body)

    async def discard(self, which: LetterFilter, *, reason: str) -> Operation:
        """Have dead letters put away for good."""
        return await self._begin(
            OperationKind.DISCARD, {**_meant(which), "reason": reason}
        )

    async def stop(self, id_: UUID) -> Operation:
        """Stop an operation."""
        return (await self._letters.stop(f"{OPERATIONS}/{id_}")).value

    async def cancel(self, id_: UUID, reason: str) -> Notification:
        """Call a notification back before it is sent."""
        return (await self._ops.cancel(id_, reason=reason)).value

    async def _begin(self, kind: OperationKind, body: dict[str, Any]) -> Operation:
        path = f"{LETTERS}/{kind}"
        return (await self._letters.begin(path, body, key=str(uuid4()))).value


def _meant(which: LetterFilter) -> dict[str, Any]:
    """Write which dead letters are meant; a filter that lets all pass has to say so."""
    if which == LetterFilter():
        return {"all": True}
    return {"filter": msgspec.to_builtins(which)}


@asynccontextmanager
async def open_operator(
    url: str, key: str | None, who: str
) -> AsyncIterator[GatewayOperator]:
    """Speak to the gateway at an address in somebody's name."""
    async with client.open_gateway(url, key) as gateway:
        yield GatewayOperator(gateway, who)
