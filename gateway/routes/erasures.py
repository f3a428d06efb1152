"""Erasures: take one recipient out of the ledger, on request and on record."""

from contracts.ids import new_id
from contracts.oversight import Action
from gateway.audit import Audit, Begun, who_of
from gateway.bodies import read_json
from gateway.letter_requests import read_erasure_body
from gateway.letter_store import LetterStore
from gateway.letter_views import Forecast
from gateway.once import Once
from gateway.principals import Permission
from gateway.requests import SINGLE_AT_MOST_BYTES
from gateway.routes.dead_letters import show, stop
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import TenantStore
from gateway.views import encode

PATH = "/api/v1/privacy/erasures"


class Erasures:
    """Handlers of erasures."""

    def __init__(self, once: Once, store: LetterStore, audit: Audit) -> None:
        self._once = once
        self._store = store
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return what is served here."""
        one = f"{PATH}/<erasure_id>"
        return [
            Route(name, method, path, handler, Permission.ERASE)
            for name, method, path, handler in (
                (RouteName.ERASE_RECIPIENT, "POST", PATH, self.create),
                (RouteName.GET_ERASURE, "GET", one, self.get),
                (RouteName.STOP_ERASURE, "DELETE", one, self.stop),
            )
        ]

    async def create(self, call: Call) -> Answer:
        """Have a recipient erased: what is not sent yet is cancelled, the rest redacted."""
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        async with self._once.reading(call, body):
            asked = read_erasure_body(body)
        if asked.dry_run:
            await self._once.compare(call, body)
            store = self._store.of(call.principal.tenant)
            count = await store.count_recipient(asked.recipient)
            return Answer(200, encode(Forecast(dry_run=True, count=count)))

        who = who_of(call)

        async def begin(transaction: TenantStore) -> Begun:
            operation = await self._store.within(transaction).begin_erasure(
                asked.recipient,
                id_=new_id(),
                who=who,
                reason=asked.reason,
            )
            entry = await self._audit.record(
                transaction,
                call,
                Action.RECIPIENT_ERASED,
                str(operation.id),
                operation.reason,
                total=operation.total,
            )
            location = f"{PATH}/{operation.id}".encode()
            answer = Answer(202, encode(operation), headers=[(b"location", location)])
            return Begun(answer, entry)

        return await self._audit.once(self._once, call, body, begin)

    async def get(self, call: Call, erasure_id: str) -> Answer:
        """Show how far an erasure has come; it never says whose."""
        store = self._store.of(call.principal.tenant)
        return await show(store, erasure_id, erasure=True)

    async def stop(self, call: Call, erasure_id: str) -> Answer:
        """Stop an erasure; what is erased stays erased."""
        return await stop(
            self._once, self._store, self._audit, call, erasure_id, erasure=True
        )
