"""What operators ask of a gateway: how the mesh stands, and changes to it.

Every change says why and answers with its entry in the audit; it is done when the answer is
there, except where the entry's ``effect`` says otherwise.
"""

from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec

from contracts.channels import Channel, Priority
from contracts.controls import BreakerOrder
from contracts.oversight import (
    OPERATOR_HEADER,
    AuditEntry,
    AuditPage,
    FoundList,
    LaneStandings,
    LimitStandings,
    ProcessStandings,
    ProviderStandings,
    Schedule,
)
from ops.client.answers import Answer, Notification
from ops.client.gateway import Gateway

_OPS = "/api/v1/ops"
_NOTIFICATIONS = "/api/v1/notifications"

_Value = TypeVar("_Value")


class Operator:
    """One person at one gateway. ``name`` goes on record beside the key, or in its place."""

    def __init__(self, gateway: Gateway, name: str | None = None) -> None:
        self._gateway = gateway
        self._headers = {} if not name else {OPERATOR_HEADER: name}

    async def lanes(self) -> Answer[LaneStandings]:
        """Ask how every lane stands."""
        return await self._look("lanes", LaneStandings)

    async def breakers(self) -> Answer[ProviderStandings]:
        """Ask how every provider and its breaker stand."""
        return await self._look("breakers", ProviderStandings)

    async def limits(self) -> Answer[LimitStandings]:
        """Ask which limits operators have set."""
        return await self._look("limits", LimitStandings)

    async def services(self) -> Answer[ProcessStandings]:
        """Ask what every process last said of itself."""
        return await self._look("services", ProcessStandings)

    async def schedule(
        self, job: str | None = None, limit: int | None = None
    ) -> Answer[Schedule]:
        """Ask for the jobs of the schedulers, and the newest runs of all or of one."""
        return await self._look("schedule", Schedule, job=job, limit=limit)

    async def audit(
        self,
        *,
        before: UUID | None = None,
        limit: int | None = None,
        action: str | None = None,
    ) -> Answer[AuditPage]:
        """Ask what operators did, newest first; ``before`` is the cursor of a page."""
        return await self._look(
            "audit", AuditPage, before=before, limit=limit, action=action
        )

    async def find(
        self,
        *,
        id_: UUID | None = None,
        idempotency_key: str | None = None,
        recipient: str | None = None,
        recipient_hash: str | None = None,
        limit: int | None = None,
    ) -> Answer[FoundList]:
        """Look notifications up by exactly one of these."""
        return await self._look(
            "notifications",
            FoundList,
            id=id_,
            idempotency_key=idempotency_key,
            recipient=recipient,
            recipient_hash=recipient_hash,
            limit=limit,
        )

    async def pause(
        self,
        channel: Channel,
        priority: Priority | None = None,
        *,
        reason: str,
        key: str | None = None,
    ) -> Answer[AuditEntry]:
        """Have nothing sent from a lane, or from a whole channel, until it is resumed."""
        path = f"{_lane(channel, priority)}/pause"
        return await self._change("POST", path, key, reason=reason)

    async def resume(
        self,
        channel: Channel,
        priority: Priority | None = None,
        *,
        reason: str,
        key: str | None = None,
    ) -> Answer[AuditEntry]:
        """Take a pause back."""
        path = f"{_lane(channel, priority)}/resume"
        return await self._change("POST", path, key, reason=reason)

    async def order_breaker(
        self,
        provider: str,
        order: BreakerOrder,
        *,
        reason: str,
        key: str | None = None,
    ) -> Answer[AuditEntry]:
        """Open a breaker and hold it open, probe it now, or reset it."""
        path = f"breakers/{quote(provider, safe='')}"
        return await self._change("POST", path, key, order=order, reason=reason)

    async def limit_channel(
        self,
        channel: Channel,
        per_second: float,
        *,
        reason: str,
        key: str | None = None,
    ) -> Answer[AuditEntry]:
        """Set what a channel may send; 0 is unlimited."""
        return await self._limit(f"channels/{channel}", per_second, reason, key)

    async def limit_provider(
        self, provider: str, per_second: float, *, reason: str, key: str | None = None
    ) -> Answer[AuditEntry]:
        """Set what a provider may get over all channels; 0 is unlimited."""
        path = f"providers/{quote(provider, safe='')}"
        return await self._limit(path, per_second, reason, key)

    async def clear_channel_limit(
        self, channel: Channel, *, reason: str, key: str | None = None
    ) -> Answer[AuditEntry]:
        """Go back to what is configured for a channel."""
        path = f"limits/channels/{channel}"
        return await self._change("DELETE", path, key, reason=reason)

    async def clear_provider_limit(
        self, provider: str, *, reason: str, key: str | None = None
    ) -> Answer[AuditEntry]:
        """Go back to what is configured for a provider."""
        path = f"limits/providers/{quote(provider, safe='')}"
        return await self._change("DELETE", path, key, reason=reason)

    async def cancel(
        self, id_: UUID, *, reason: str, key: str | None = None
    ) -> Answer[Notification]:
        """Call a notification back, on record."""
        return await self._send(
            "PATCH",
            f"{_NOTIFICATIONS}/{id_}/cancel",
            Notification,
            key,
            {"reason": reason},
        )

    async def _limit(
        self, path: str, per_second: float, reason: str, key: str | None
    ) -> Answer[AuditEntry]:
        return await self._change(
            "PUT", f"limits/{path}", key, per_second=per_second, reason=reason
        )

    async def _look(
        self, path: str, type_: type[_Value], **parameters: Any
    ) -> Answer[_Value]:
        query = {
            name: str(value) for name, value in parameters.items() if value is not None
        }
        return await self._gateway.ask(
            "GET", f"{_OPS}/{path}", type_, params=query, headers=self._headers
        )

    async def _change(
        self, method: str, path: str, key: str | None, **body: Any
    ) -> Answer[AuditEntry]:
        return await self._send(method, f"{_OPS}/{path}", AuditEntry, key, body)

    async def _send(
        self,
        method: str,
        path: str,
        type_: type[_Value],
        key: str | None,
        body: dict[str, Any],
    ) -> Answer[_Value]:
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Idempotency-Key": key or str(uuid4()),
        }
        return await self._gateway.ask(
            method, path, type_, data=msgspec.json.encode(body), headers=headers
        )


def _lane(channel: Channel, priority: Priority | None) -> str:
    return "lanes/" + "/".join(str(word) for word in (channel, priority) if word)
