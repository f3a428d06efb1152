"""The intake: what handlers accept is gathered, and committed group by group.

There is no timer. While one group commits the next one gathers, so an idle gateway
commits a single notification at once and a busy one commits hundreds in one statement.
A handler is released only when its own submission is committed: a 202 is a promise.

While the ledger is away, groups go to the spool instead. A group whose commit was not
answered goes there too, with the same ids: should the commit have come about after all, the
scheduler finds them in the ledger and stores nothing twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import structlog

from contracts.ids import new_id
from gateway.errors import (
    IntakeFull,
    KeyInFlight,
    LedgerAway,
    Refusal,
    SubmissionFailed,
)
from gateway.metrics import Metrics
from gateway.store import MISSHAPEN, UNAVAILABLE, facts_of
from gateway.submissions import KeyOwner, NewNotification, Submission

log = structlog.stdlib.get_logger()

#: How long a client waits for a ledger and a spool that neither store nor refuse.
_PATIENCE_SECONDS = 5.0


class Groups(Protocol):
    """Where groups are committed."""

    async def commit_group(
        self,
        group_id: UUID,
        confirmed: Sequence[UUID],
        now: datetime,
        submissions: Sequence[Submission],
        *,
        within_seconds: float,
    ) -> frozenset[UUID]:
        """Commit a group and return the ``resource_id`` of every reservation that was won.

        Raises TimeoutError when that takes longer; it may still come about then.
        """
        ...


class Outbox(Protocol):
    """Where committed groups go next."""

    def take_confirmed(self) -> list[UUID]:
        """Hand over the groups that the bus has confirmed and the ledger still lists."""
        ...

    def give_back(self, confirmed: Sequence[UUID]) -> None:
        """Take back what could not be removed from the ledger."""
        ...

    def offer(self, group_id: UUID, notifications: Sequence[NewNotification]) -> None:
        """Take a committed group; never blocks."""
        ...


class Spool(Protocol):
    """Where groups are kept while the ledger is away."""

    async def keep(self, submissions: Sequence[Submission]) -> Sequence[bool | Refusal]:
        """Keep submissions; False for one whose key is taken, a refusal for one not kept."""
        ...

    @property
    def may_know_keys(self) -> bool:
        """Say whether a key may have been answered here and not yet in the ledger."""
        ...

    async def knows(self, owners: Sequence[KeyOwner]) -> Sequence[bool]:
        """Say of each key whether a submission with it is kept."""
        ...


class Watch(Protocol):
    """Who knows whether the ledger is there."""

    @property
    def is_away(self) -> bool:
        """Say whether it is known not to answer."""
        ...

    def suspect(self) -> None:
        """Take note that it did not answer in time."""
        ...


class _Waiting:
    """A submission, and the handler that waits for it."""

    __slots__ = ("released", "submission")

    def __init__(
        self, submission: Submission, released: "asyncio.Future[bool]"
    ) -> None:
        self.submission = submission
        self.released = released


class Intake:
    """Bounded; commits in one loop (``run``) until told to ``drain``."""

    def __init__(
        self,
        groups: Groups,
        outbox: Outbox,
        spool: Spool,
        watch: Watch,
        metrics: Metrics,
        *,
        capacity: int,
        group_at_most: int,
        commit_seconds: float,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._groups = groups
        self._outbox = outbox
        self._spool = spool
        self._watch = watch
        self._metrics = metrics
        self._capacity = capacity
        self._group_at_most = group_at_most
        self._commit_seconds = commit_seconds
        self._patience_seconds = patience_seconds
        self._commit_began: float | None = None
        self._queue: deque[_Waiting] = deque()
        self._keys_in_flight: set[KeyOwner] = set()
        self._arrived = asyncio.Event()
        self._draining = False
        self.depth = 0  #: notifications that wait or are being committed

    async def accept(self, submission: Submission) -> bool:
        """Return when the submission is committed or spooled.

        False when it is not, because its idempotency key already has an answer. Raises
        ``IntakeFull``, ``KeyInFlight``, ``LedgerAway``, ``SubmissionFailed`` or what the
        spool refuses with. A caller that is cancelled takes nothing back: what was handed
        in is committed.

        A ledger that hangs is away too: a submission handed in is given up after a few
        seconds, though it may still be committed, and while the hanging commit lasts no
        other is taken in.
        """
        if self._hangs():
            raise LedgerAway
        size = len(submission.notifications)
        if self._draining or self.depth + size > self._capacity:
            raise IntakeFull
        if submission.reservation is not None:
            owner = submission.reservation.owner
            if owner in self._keys_in_flight:
                raise KeyInFlight
            self._keys_in_flight.add(owner)
        self.depth += size
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await waiting.released
        except TimeoutError:
            raise LedgerAway from None

    def _hangs(self) -> bool:
        began = self._commit_began
        return (
            began is not None and time.perf_counter() - began > self._patience_seconds
        )

    def drain(self) -> None:
        """Accept nothing more; ``run`` returns when all that was accepted is stored."""
        self._draining = True
        self._arrived.set()

    async def run(self) -> None:
        """Commit group after group until drained."""
        while True:
            if not self._queue:
                if self._draining:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._commit(self._take_group())

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        room = self._group_at_most
        while self._queue:
            size = len(self._queue[0].submission.notifications)
            if group and size > room:
                break
            group.append(self._queue.popleft())
            room -= size
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        if self._watch.is_away:
            await self._keep(group)
            return
        if self._spool.may_know_keys:
            group = await self._without_spooled(group)
            if not group:
                return
        group_id = new_id()
        confirmed = self._outbox.take_confirmed()
        submissions = [waiting.submission for waiting in group]
        started = self._commit_began = time.perf_counter()
        try:
            won = await self._groups.commit_group(
                group_id,
                confirmed,
                datetime.now(UTC),
                submissions,
                within_seconds=self._commit_seconds,
            )
        except UNAVAILABLE as error:
            self._outbox.give_back(confirmed)
            self._metrics.commit_failed()
            log.warning("group.not_committed", error=type(error).__name__)
            if isinstance(error, TimeoutError):
                self._watch.suspect()
            if isinstance(error, MISSHAPEN):
                self._fail(group, LedgerAway)
            else:
                await self._keep(group)
            return
        except Exception as error:  # noqa: BLE001 (the loop must live; _single_out logs it)
            self._outbox.give_back(confirmed)
            await self._single_out(group, error)
            return
        finally:
            self._commit_began = None
        stored = self._release(group, won)
        self._metrics.group_committed(
            (notification.lane for notification in stored),
            time.perf_counter() - started,
        )
        self._outbox.offer(group_id, stored)

    async def _without_spooled(self, group: list[_Waiting]) -> list[_Waiting]:
        """Release those whose key has a submission in the spool, and return the others.

        This is the last look before the commit: nothing of this gateway's goes into the
        spool between the two.
        """
        keyed = [w for w in group if w.submission.reservation is not None]
        known = await self._spool.knows(
            [w.submission.reservation.owner for w in keyed if w.submission.reservation]
        )
        spooled = {
            id(waiting)
            for waiting, is_known in zip(keyed, known, strict=True)
            if is_known
        }
        for waiting in keyed:
            if id(waiting) in spooled:
                self._forget(waiting.submission)
                if not waiting.released.done():
                    waiting.released.set_result(False)
        return [waiting for waiting in group if id(waiting) not in spooled]

    async def _keep(self, group: list[_Waiting]) -> None:
        """Put a group into the spool, and tell every handler what came of its submission."""
        outcomes = await self._spool.keep([waiting.submission for waiting in group])
        for waiting, outcome in zip(group, outcomes, strict=True):
            self._forget(waiting.submission)
            if waiting.released.done():
                continue
            if isinstance(outcome, Refusal):
                waiting.released.set_exception(outcome)
            else:
                waiting.released.set_result(outcome)

    def _release(
        self, group: list[_Waiting], won: frozenset[UUID]
    ) -> list[NewNotification]:
        """Tell every handler whether its submission was stored; return all that was."""
        stored: list[NewNotification] = []
        for waiting in group:
            submission = waiting.submission
            is_stored = (
                submission.reservation is None
                or submission.reservation.resource_id in won
            )
            self._forget(submission)
            if is_stored:
                stored += submission.notifications
            if not waiting.released.done():
                waiting.released.set_result(is_stored)
        return stored

    async def _single_out(self, group: list[_Waiting], error: Exception) -> None:
        """Commit one submission at a time, so that a bad one fails alone."""
        if len(group) > 1:
            for waiting in group:
                await self._commit([waiting])
            return
        self._metrics.commit_failed()
        log.error("submission.failed", **facts_of(error))
        self._fail(group, SubmissionFailed)

    def _fail(
        self, group: list[_Waiting], refusal: type[LedgerAway] | type[SubmissionFailed]
    ) -> None:
        for waiting in group:
            self._forget(waiting.submission)
            if not waiting.released.done():
                waiting.released.set_exception(refusal())

    def _forget(self, submission: Submission) -> None:
        self.depth -= len(submission.notifications)
        if submission.reservation is not None:
            self._keys_in_flight.discard(submission.reservation.owner)
