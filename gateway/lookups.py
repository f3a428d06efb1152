"""Finds what was accepted, in the ledger or still in the spool.

Nothing that was promised is ever "not found": what the ledger does not have is looked for in
the spool, and then in the ledger again, for it may have been moved between the two looks.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from gateway.errors import InSpool, Refusal
from gateway.spool import Spool
from gateway.spooled import view_of
from gateway.store import UNAVAILABLE, Store
from gateway.views import NotificationView

_Found = TypeVar("_Found")


class Lookups:
    """Looks for the notifications and batches of a tenant."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool

    async def notification(self, tenant: str, id_: UUID) -> NotificationView | None:
        """Return a notification, or None when the tenant has none with this id."""
        store = self._store.of(tenant)
        try:
            view = await store.notification(id_)
        except UNAVAILABLE:
            view = await self._spooled(tenant, id_)
            if view is None:
                raise
            return view
        if view is None and self._spool.may_hold(id_):
            view = await self._spooled(tenant, id_) or await store.notification(id_)
        return view

    async def _spooled(self, tenant: str, id_: UUID) -> NotificationView | None:
        entry = await self._spool.find(tenant, id_)
        return None if entry is None else view_of(entry)

    async def is_unknown(
        self, tenant: str, id_: UUID, read: Callable[[], Awaitable[object | None]]
    ) -> bool:
        """Say whether an id that ``read`` did not find is nowhere; False when nobody knows."""
        try:
            return await self.in_ledger(tenant, id_, read) is None
        except Refusal:
            return False
        except UNAVAILABLE:
            return False

    async def in_ledger(
        self, tenant: str, id_: UUID, read: Callable[[], Awaitable[_Found | None]]
    ) -> _Found | None:
        """Return what ``read`` finds in the ledger; ``InSpool`` when the id is not there yet."""
        found = await read()
        if found is not None or not self._spool.may_hold(id_):
            return found
        if await self._spool.find(tenant, id_) is not None:
            raise InSpool
        return await read()
