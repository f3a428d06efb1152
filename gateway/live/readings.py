"""Looks up where notifications stand, for many clients in one statement.

There is no timer: while one group is looked up the next one gathers.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from gateway.views import StatusView

_GROUP_AT_MOST = 2000


class TenantLedger(Protocol):
    """What one tenant may see."""

    async def standings(self, ids: Sequence[UUID]) -> list[StatusView]:
        """Return where notifications stand; unknown ones are left out."""
        ...

    async def changes_after(
        self, ids: Sequence[UUID], sequences: Sequence[int]
    ) -> list[StatusView]:
        """Return every later change of each notification, oldest first."""
        ...


class Ledger(Protocol):
    """Where notifications are looked up."""

    def of(self, tenant: str) -> TenantLedger:
        """Return what one tenant may see."""
        ...


class Subjects(Protocol):
    """What must be in place before the ledger is read."""

    async def settled(self) -> None:
        """Return when the bus knows every subscription made so far."""
        ...


class Reading(NamedTuple):
    """What the ledger said of one notification."""

    standing: StatusView
    changes: list[StatusView]  #: after the sequence that was asked for


class _Question(NamedTuple):
    tenant: str
    after: dict[UUID, int | None]
    answered: "asyncio.Future[dict[UUID, Reading]]"


class Readings:
    """Answers questions in groups, each read after the subscriptions made before it.

    So whatever is committed after a reading comes over the bus, and whatever was committed
    before is in the reading: between the two nothing is missed.
    """

    def __init__(self, ledger: Ledger, subjects: Subjects) -> None:
        self._ledger = ledger
        self._subjects = subjects
        self._questions: deque[_Question] = deque()
        self._asked = asyncio.Event()

    def ask(
        self, tenant: str, after: dict[UUID, int | None]
    ) -> "asyncio.Future[dict[UUID, Reading]]":
        """Look up notifications; the answer leaves out those that the tenant does not have.

        With a sequence, what happened after it is looked up too. The future raises what
        the ledger raises.
        """
        answered = asyncio.get_running_loop().create_future()
        self._questions.append(_Question(tenant, after, answered))
        self._asked.set()
        return answered

    async def run(self) -> None:
        """Answer group after group."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while group := self._take():
                await self._answer(group)

    def _take(self) -> list[_Question]:
        group: list[_Question] = []
        room = _GROUP_AT_MOST
        while self._questions and (not group or len(self._questions[0].after) <= room):
            group.append(self._questions.popleft())
            room -= len(group[-1].after)
        return group

    async def _answer(self, group: list[_Question]) -> None:
        await self._subjects.settled()
        by_tenant: dict[str, list[_Question]] = defaultdict(list)
        for question in group:
            by_tenant[question.tenant].append(question)
        for tenant, questions in by_tenant.items():
            try:
                readings = await self._read(tenant, questions)
            except Exception as error:  # noqa: BLE001 (whoever asked decides what it means)
                for question in questions:
                    if not question.answered.done():
                        question.answered.set_exception(error)
                continue
            for question in questions:
                if not question.answered.done():
                    question.answered.set_result(
                        {
                            id_: readings[id_]
                            for id_ in question.after
                            if id_ in readings
                        }
                    )

    async def _read(
        self, tenant: str, questions: list[_Question]
    ) -> dict[UUID, Reading]:
        """Read standings first: a change in between is then in both, and never in none."""
        ledger = self._ledger.of(tenant)
        ids = {id_ for question in questions for id_ in question.after}
        readings = {
            standing.notification_id: Reading(standing, [])
            for standing in await ledger.standings(list(ids))
        }
        oldest: dict[UUID, int] = {}
        for question in questions:
            for id_, after in question.after.items():
                if after is not None and id_ in readings:
                    oldest[id_] = min(after, oldest.get(id_, after))
        if oldest:
            changes = await ledger.changes_after(list(oldest), list(oldest.values()))
            for change in changes:
                readings[change.notification_id].changes.append(change)
        return readings
