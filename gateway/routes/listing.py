"""Notifications by what is known of them, newest first, a page at a time."""

import time

import msgspec

from gateway.filters import Filters, Query, Range, read_cursor, write_cursor
from gateway.principals import Permission
from gateway.routes.notifications import PATH
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import Store, TenantStore
from gateway.views import NotificationView, Page, encode

#: A filter that lets little through is looked for in steps that grow, and no longer than
#: this; then the page is short, and its cursor goes on from where the search ended.
_SEARCH_SECONDS = 1.0
_ROWS_AT_FIRST = 500
_ROWS_AT_MOST = 20_000
_GROWTH = 4


class Listing:
    """The handler of lists."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                RouteName.LIST_NOTIFICATIONS, "GET", PATH, self.list, Permission.LIST
            ),
        ]

    async def list(self, call: Call) -> Answer:
        """Show a page. It may be short; only the last one has no cursor."""
        query = Query(call.query)
        filters, limit = query.filters(), query.limit()
        tenant = call.principal.tenant
        what = msgspec.json.encode((tenant, filters))
        within = filters.created & read_cursor(query.text("cursor"), what)
        store = self._store.of(tenant)
        if filters.batch_id is not None:
            members = await store.batch_range(filters.batch_id)
            if members is None:
                return Answer(200, encode(Page(items=[])))
            within &= members
        async with store.searching() as searching:
            items, rest = await search(
                searching, filters, within, limit, _SEARCH_SECONDS
            )
        next_cursor = None if rest.is_empty else write_cursor(rest.before, what)
        return Answer(200, encode(Page(items=items, next_cursor=next_cursor)))


async def search(
    store: TenantStore,
    filters: Filters,
    within: Range,
    limit: int,
    seconds: float,
) -> tuple[list[NotificationView], Range]:
    """Return at most ``limit`` items, and the range where there may be more."""
    nothing = Range(within.first, within.first)
    found: list[NotificationView] = []
    rows = _ROWS_AT_FIRST if filters.rejects else limit + 1
    give_up_at = time.monotonic() + seconds
    while not within.is_empty:
        wanted = limit + 1 - len(found)
        part = await store.scan(filters, within, rows_at_most=rows, limit=wanted)
        found += part.items
        if len(found) > limit:
            return found[:limit], Range(within.first, found[limit - 1].id)
        if part.horizon is None:
            return found, nothing
        within = Range(within.first, part.horizon)
        if time.monotonic() >= give_up_at:
            return found, within
        rows = min(rows * _GROWTH, _ROWS_AT_MOST)
    return found, nothing
