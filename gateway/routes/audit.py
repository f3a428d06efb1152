"""What operators did, and notifications that the one on call looks for."""

from collections.abc import Sequence
from datetime import datetime

from contracts import oversight
from contracts.ids import time_of
from contracts.oversight import AuditPage, Found, FoundList
from gateway.audit_store import AuditStore
from gateway.filters import Filters, Range
from gateway.house import House
from gateway.lookups import Lookups
from gateway.ops_requests import audit_page, look_up
from gateway.principals import Permission
from gateway.routes.batches import PATH as BATCHES
from gateway.routes.listing import search
from gateway.routes.notifications import PATH as NOTIFICATIONS
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import Store, TenantStore
from gateway.views import NotificationView, encode

AUDIT = "/api/v1/ops/audit"
LOOK_UP = "/api/v1/ops/notifications"

#: What has no index is looked for among the newest rows for so long.
_SEARCH_SECONDS = 2.0

_KEYED = (f"POST {NOTIFICATIONS}", f"POST {BATCHES}")
_SHOWN = frozenset(Found.__struct_fields__) & frozenset(
    NotificationView.__struct_fields__
)


class Records:
    """Handlers of the audit and of look-ups. Each tenant sees its own, the house all audits."""

    def __init__(
        self, store: Store, lookups: Lookups, audit: AuditStore, house: House
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._audit = audit
        self._house = house

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(name, "GET", path, handler, Permission.OPERATE)
            for name, path, handler in (
                (RouteName.LIST_AUDIT, AUDIT, self.list_audit),
                (RouteName.FIND_NOTIFICATIONS, LOOK_UP, self.find),
            )
        ]

    async def list_audit(self, call: Call) -> Answer:
        """Show a page of what operators did, newest first."""
        before, limit, action = audit_page(call)
        entries = await self._audit.of(call.principal.tenant).entries(
            before, limit + 1, action, of_everyone=self._house.owns(call)
        )
        items = entries[:limit]
        cursor = items[-1].id if len(entries) > limit else None
        return Answer(200, encode(AuditPage(items=items, next_cursor=cursor)))

    async def find(self, call: Call) -> Answer:
        """Look notifications up; whom they go to is masked."""
        filters, id_, limit = look_up(call)
        tenant = call.principal.tenant
        if id_ is not None:
            found = await self._lookups.notification(tenant, id_)
            return _found([] if found is None else [found])
        store = self._store.of(tenant)
        if filters.idempotency_key is not None:
            keyed = await store.keyed(_KEYED, filters.idempotency_key, limit)
            if keyed:
                return _found(keyed)
        return await _search(store, filters, limit)


async def _search(store: TenantStore, filters: Filters, limit: int) -> Answer:
    async with store.searching() as searching:
        items, rest = await search(searching, filters, Range(), limit, _SEARCH_SECONDS)
    if rest.is_empty or len(items) == limit:
        return _found(items)
    return _found(items, time_of(rest.before))


def _found(
    items: Sequence[NotificationView], searched_from: datetime | None = None
) -> Answer:
    found = FoundList(
        items=[_masked(item) for item in items], searched_from=searched_from
    )
    return Answer(200, encode(found))


def _masked(view: NotificationView) -> Found:
    fields = {name: getattr(view, name) for name in _SHOWN}
    return Found(
        **{
            **fields,
            "recipient": oversight.masked(view.channel, view.recipient),
            "recipient_hash": oversight.recipient_hash(view.recipient),
        }
    )
