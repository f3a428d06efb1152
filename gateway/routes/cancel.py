"""Calls a notification back, before a dispatcher takes it."""

from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import CANCELLABLE, Status
from contracts.messages import StatusChanged
from contracts.operations import REASON_AT_MOST_CHARACTERS
from contracts.oversight import Action
from contracts.problems import ProblemType
from gateway.audit import Audit, Begun
from gateway.errors import Refusal
from gateway.lookups import Lookups
from gateway.once import Once
from gateway.ops_requests import ReasonBody
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.publishing import Publishing
from gateway.requests import SINGLE_AT_MOST_BYTES
from gateway.routes.notifications import PATH
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import Change, TenantStore
from gateway.views import encode

_reason = msgspec.json.Decoder(ReasonBody)

#: A notification that moved between the cancel and the look at it is tried again.
_TRIES = 5


class Cancelling:
    """The handler of cancels."""

    def __init__(
        self, once: Once, lookups: Lookups, publishing: Publishing, audit: Audit
    ) -> None:
        self._once = once
        self._lookups = lookups
        self._publishing = publishing
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                RouteName.CANCEL_NOTIFICATION,
                "PATCH",
                f"{PATH}/<notification_id>/cancel",
                self.cancel,
                Permission.SEND,
            ),
        ]

    async def cancel(self, call: Call, notification_id: str) -> Answer:
        """Cancel a notification. Once this has answered 200, no provider is called for it.

        That an operator did it goes on record.
        """
        id_ = uuid_in_path(notification_id)
        body = await call.read(SINGLE_AT_MOST_BYTES)
        is_operator = call.principal.may(Permission.OPERATE)
        reason = _reason_in(body) if is_operator else ""
        changes: list[Change] = []

        async def act(store: TenantStore) -> Begun:
            change = await self._cancel(call.principal.tenant, store, id_)
            changes.append(change)
            entry = None
            if is_operator:
                entry = await self._audit.record(
                    store, call, Action.NOTIFICATION_CANCELLED, str(id_), reason
                )
            correlation_id = change.view.correlation_id
            answer = Answer(200, encode(change.view), correlation_id=correlation_id)
            return Begun(answer, entry)

        answer = await self._audit.once(self._once, call, body, act)
        for change in changes:
            await self._publishing.tell(_announcement(call.principal.tenant, change))
        return answer

    async def _cancel(self, tenant: str, store: TenantStore, id_: UUID) -> Change:
        status: Status | None = None
        for _ in range(_TRIES):
            change = await store.cancel(id_)
            if change is not None:
                return change
            view = await self._lookups.in_ledger(
                tenant, id_, lambda: store.notification(id_)
            )
            if view is None:
                raise not_found("notification")
            status = Status(view.status)
            if status not in CANCELLABLE:
                break
        raise Refusal(
            ProblemType.INVALID_TRANSITION,
            f"the notification is {status} and cannot become {Status.CANCELLED}",
        )


def _reason_in(body: bytes) -> str:
    """Return why, when the body says so. Any body is taken: it was never asked for one."""
    try:
        asked = _reason.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not asked.reason.isprintable():
        return ""
    return asked.reason[:REASON_AT_MOST_CHARACTERS]


def _announcement(tenant: str, change: Change) -> StatusChanged:
    view = change.view
    return StatusChanged(
        notification_id=view.id,
        tenant=tenant,
        channel=Channel(view.channel),
        priority=Priority(view.priority),
        status=Status.CANCELLED,
        attempts=view.attempts,
        sequence=change.sequence,
        at=view.updated_at,
        correlation_id=view.correlation_id or "",
        batch_id=view.batch_id,
        provider=view.provider,
    )
