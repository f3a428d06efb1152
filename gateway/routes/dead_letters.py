"""Dead letters: look at them, have them replayed or discarded, follow that and stop it."""

from contracts.ids import new_id
from contracts.operations import OperationKind
from contracts.oversight import Action
from gateway.audit import Audit, Begun, who_of
from gateway.bodies import read_json
from gateway.letter_requests import (
    LIMIT_AT_MOST,
    OPEN,
    LettersBody,
    read_letters_body,
    read_query,
)
from gateway.letter_store import LetterStore, TenantLetterStore
from gateway.letter_views import Forecast, LetterGroups, LetterPage, OperationList
from gateway.once import Once
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.requests import SINGLE_AT_MOST_BYTES
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import TenantStore
from gateway.views import encode

PATH = "/api/v1/dead-letters"
OPERATIONS = f"{PATH}/operations"

_ACTIONS = {
    OperationKind.REPLAY: Action.LETTERS_REPLAYED,
    OperationKind.DISCARD: Action.LETTERS_DISCARDED,
}

_SAMPLES = 3
_OPERATIONS_SHOWN = 50
_EVERYTHING_AFTER = read_query(b"").before


class DeadLetters:
    """Handlers of dead letters and what is done to them."""

    def __init__(self, once: Once, store: LetterStore, audit: Audit) -> None:
        self._once = once
        self._store = store
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return what is served here."""
        one = f"{OPERATIONS}/<operation_id>"
        return [
            Route(name, method, path, handler, Permission.OPERATE)
            for name, method, path, handler in (
                (RouteName.LIST_DEAD_LETTERS, "GET", PATH, self.list),
                (RouteName.GROUP_DEAD_LETTERS, "GET", f"{PATH}/groups", self.group),
                (RouteName.REPLAY_DEAD_LETTERS, "POST", f"{PATH}/replay", self.replay),
                (
                    RouteName.DISCARD_DEAD_LETTERS,
                    "POST",
                    f"{PATH}/discard",
                    self.discard,
                ),
                (RouteName.LIST_OPERATIONS, "GET", OPERATIONS, self.operations),
                (RouteName.GET_OPERATION, "GET", one, self.operation),
                (RouteName.STOP_OPERATION, "DELETE", one, self.stop),
            )
        ]

    async def list(self, call: Call) -> Answer:
        """Show a page, newest first."""
        asked = read_query(call.query)
        letters = await self._store.of(call.principal.tenant).letters(
            asked.which, asked.before, asked.limit + 1, asked.state
        )
        page = LetterPage(items=letters[: asked.limit])
        if len(letters) > asked.limit:
            page.next_cursor = page.items[-1].id
        return Answer(200, encode(page))

    async def group(self, call: Call) -> Answer:
        """Show what the open ones died of, the most frequent first."""
        asked = read_query(call.query)
        groups = await self._store.of(call.principal.tenant).groups(
            asked.which, LIMIT_AT_MOST
        )
        return Answer(200, encode(LetterGroups(groups=groups)))

    async def replay(self, call: Call) -> Answer:
        """Have failed notifications sent again, at a rate."""
        return await self._operate(call, OperationKind.REPLAY)

    async def discard(self, call: Call) -> Answer:
        """Have dead letters put away."""
        return await self._operate(call, OperationKind.DISCARD)

    async def operations(self, call: Call) -> Answer:
        """Show the newest operations: who did what, and why."""
        operations = await self._store.of(call.principal.tenant).operations(
            _OPERATIONS_SHOWN
        )
        return Answer(200, encode(OperationList(items=operations)))

    async def operation(self, call: Call, operation_id: str) -> Answer:
        """Show how far an operation has come."""
        store = self._store.of(call.principal.tenant)
        return await show(store, operation_id, erasure=False)

    async def stop(self, call: Call, operation_id: str) -> Answer:
        """Stop an operation; what it has done stays done."""
        return await stop(
            self._once, self._store, self._audit, call, operation_id, erasure=False
        )

    async def _operate(self, call: Call, kind: OperationKind) -> Answer:
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        async with self._once.reading(call, body):
            asked = read_letters_body(body)
        if asked.dry_run:
            await self._once.compare(call, body)
            return await self._forecast(call, asked, kind)
        paced = kind == OperationKind.REPLAY
        who = who_of(call)

        async def begin(transaction: TenantStore) -> Begun:
            operation = await self._store.within(transaction).begin(
                asked.filter,
                id_=new_id(),
                kind=kind,
                who=who,
                reason=asked.reason,
                rate_per_second=asked.rate_per_second if paced else None,
            )
            entry = await self._audit.record(
                transaction,
                call,
                _ACTIONS[kind],
                str(operation.id),
                operation.reason,
                filter=operation.filter,
                total=operation.total,
            )
            location = f"{OPERATIONS}/{operation.id}".encode()
            answer = Answer(202, encode(operation), headers=[(b"location", location)])
            return Begun(answer, entry)

        return await self._audit.once(self._once, call, body, begin)

    async def _forecast(
        self, call: Call, asked: LettersBody, kind: OperationKind
    ) -> Answer:
        store = self._store.of(call.principal.tenant)
        count, refused = await store.count(asked.filter)
        samples = await store.letters(asked.filter, _EVERYTHING_AFTER, _SAMPLES, OPEN)
        forecast = Forecast(
            dry_run=True,
            count=count,
            refused=refused if kind == OperationKind.REPLAY else None,
            samples=samples,
        )
        return Answer(200, encode(forecast))


async def show(store: TenantLetterStore, word: str, *, erasure: bool) -> Answer:
    """Show an operation of one of the two sorts, which need different permissions."""
    id_ = uuid_in_path(word)
    operation = await store.operation(id_, erasure=erasure)
    if operation is None:
        raise not_found("operation")
    return Answer(200, encode(operation))


async def stop(
    once: Once,
    store: LetterStore,
    audit: Audit,
    call: Call,
    word: str,
    *,
    erasure: bool,
) -> Answer:
    """Stop an operation and show it; one that has ended stays as it is."""
    id_ = uuid_in_path(word)

    async def act(transaction: TenantStore) -> Begun:
        within = store.within(transaction)
        entry = None
        if await within.stop(id_, erasure=erasure):
            entry = await audit.record(
                transaction, call, Action.OPERATION_STOPPED, str(id_), ""
            )
        return Begun(await show(within, word, erasure=erasure), entry)

    return await audit.once(once, call, b"", act)
