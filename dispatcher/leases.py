"""Keeps what is in hand: renews leases in the ledger, and acknowledgement waits on the bus."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from uuid import UUID

import structlog

from dispatcher import answers
from dispatcher.answers import Answers
from dispatcher.holdings import Claim, Holding
from dispatcher.metrics import Metrics
from dispatcher.store import Store
from ops.runtime import ledger
from ops.runtime.absence import Absence
from ops.runtime.tasks import keep_running

log = structlog.stdlib.get_logger()

_GROUP_AT_MOST = 1000


class Leases:
    """Everything this process holds, from a message's arrival to its answer.

    Three times in the span of a lease, whatever has been held for a third of it is renewed
    by one statement, and the bus is told that its message is being worked on. Neither waits
    for the other. What settles faster, which is nearly all, is never touched.
    """

    def __init__(
        self,
        store: Store,
        answers: Answers,
        metrics: Metrics,
        absence: Absence,
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._answers = answers
        self._metrics = metrics
        self._absence = absence
        self._lease_seconds = lease_seconds
        self._period_seconds = lease_seconds / 3
        self._held: set[Holding] = set()
        self._claimed_ids: set[UUID] = set()
        self._held_before: set[Holding] = set()  #: when the bus was last told

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, holdings: Iterable[Holding]) -> None:
        """Keep these from now on: on the bus, and in the ledger once they are leased."""
        self._held.update(holdings)

    def lease(self, holding: Holding, claim: Claim, asked_at: float) -> None:
        """Attach the claim of one that is held, which was asked for no earlier than then."""
        holding.lease(claim, asked_at, self._lease_seconds)
        self._claimed_ids.add(claim.id)

    def let_go(self, holdings: Iterable[Holding]) -> None:
        """Keep these no more."""
        for holding in holdings:
            self._held.discard(holding)
            if holding.claim is not None:
                self._claimed_ids.discard(holding.id)

    @property
    def claimed_ids(self) -> Set[UUID]:
        """Return the notifications whose lease this process knows it has, now and later on."""
        return self._claimed_ids

    def lost_leases(self) -> list[int]:
        """Return how many dispatchers each notification lost that this process is sending."""
        return [
            holding.claim.lost_leases
            for holding in self._held
            if holding.claim is not None and holding.claim.lost_leases
        ]

    async def run(self) -> None:
        """Renew until cancelled, which comes after the last outcome is settled."""
        async with asyncio.TaskGroup() as loops:
            for name, act in (("leases", self.renew), ("progress", self.work_on)):
                loops.create_task(self._repeat(name, act), name=name)

    async def _repeat(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        never = asyncio.Event()

        async def turn() -> None:
            await asyncio.sleep(self._period_seconds)
            await act()

        await keep_running(
            name, turn, never, self._metrics.loop_errors, expected=ledger.AWAY
        )

    async def work_on(self) -> None:
        """Tell the bus of every message that was held the last time too."""
        still = self._held & self._held_before
        self._held_before = set(self._held)
        await self._answers.send([answers.work_on(holding.reply) for holding in still])

    async def renew(self) -> None:
        """Renew what was last heard of a third of a lease ago, or nearly."""
        heard_before = time.monotonic() - 0.9 * self._period_seconds
        aged = [holding for holding in self._held if holding.since <= heard_before]
        leased = [h for h in aged if h.claim is not None and h.leased_until > 0]
        # Claims and outcomes lock rows in the order of their ids too: no deadlocks.
        leased.sort(key=lambda holding: holding.id.int)
        for start in range(0, len(leased), _GROUP_AT_MOST):
            await self._renew_group(leased[start : start + _GROUP_AT_MOST])

    async def _renew_group(self, group: Sequence[Holding]) -> None:
        asked_at = time.monotonic()
        ids, fences = zip(*(self._key(holding) for holding in group), strict=True)
        with self._absence.watched(asked_at):
            kept = await self._store.renew(ids, fences, self._period_seconds)
        lost = 0
        for holding in group:
            if self._key(holding) in kept:
                holding.since = asked_at
                holding.leased_until = asked_at + self._lease_seconds
            elif holding in self._held and not holding.has_outcome:
                holding.leased_until = 0.0
                lost += 1
        if lost:
            self._metrics.leases_lost(lost)
            log.warning("leases.lost", count=lost)

    @staticmethod
    def _key(holding: Holding) -> tuple[UUID, int]:
        assert holding.claim is not None
        return holding.id, holding.claim.fence
