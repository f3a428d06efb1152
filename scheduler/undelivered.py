"""What becomes of messages that the bus keeps and will not deliver again."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import structlog

from contracts import lifecycle
from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from scheduler import stream
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.rows import Standing, Why
from scheduler.store import Store
from scheduler.stream import Stored

log = structlog.stdlib.get_logger()

_POISON_REASON = "the dispatchers that were sending it ended, time and again"


class Verdict(StrEnum):
    """What to do about one message."""

    DROP = "drop"  #: nobody needs it
    POISON = "poison"  #: its notification fails
    REPLACE = "replace"  #: its notification is well and needs a new message
    LEAVE = "leave"  #: a dispatcher is at work on it


class Case(NamedTuple):
    """One message, where its notification stands (None: unknown), and what follows."""

    message: Stored
    standing: Standing | None
    verdict: Verdict


def judge(standing: Standing | None, *, in_doubt: bool = False) -> Verdict:
    """Decide about a message the bus will not deliver, by where its notification stands.

    ``in_doubt`` says that the ledger was away: a lease that has ended may have an owner who
    sent it and could not say so yet.
    """
    if standing is None or standing.status in lifecycle.FINAL or not standing.on_bus:
        return Verdict.DROP
    if standing.lease_seconds is not None and (in_doubt or standing.lease_seconds > 0):
        return Verdict.LEAVE
    if standing.attempts >= standing.max_attempts:
        return Verdict.POISON
    if standing.lost_leases >= lifecycle.LOST_LEASES_AT_MOST:
        return Verdict.POISON
    return Verdict.REPLACE


class Undelivered:
    """Judges and settles; the ledger checks each judgement again as it commits it."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        absence: Absence,
    ) -> None:
        self._bus = bus
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._absence = absence

    async def examine(self, messages: Iterable[Stored]) -> list[Case]:
        """Judge each message."""
        messages = list(messages)
        standings = await self._store.standings(
            {m.notification_id for m in messages if m.notification_id is not None}
        )
        in_doubt = self._absence.doubt_seconds > 0
        cases = []
        for message in messages:
            id_ = message.notification_id
            standing = None if id_ is None else standings.get(id_)
            cases.append(Case(message, standing, judge(standing, in_doubt=in_doubt)))
        return cases

    async def settle(self, cases: Sequence[Case], why: Why) -> set[int]:
        """Do what was judged; returns the sequences of the messages that are gone.

        A message goes only after what follows from it is committed, and confirmed by the bus
        where it was replaced. Whatever fails half-way is found again: judged anew, it is
        then dropped.
        """
        done = {
            *await self._fail(_standings(cases, Verdict.POISON)),
            *await self._replace(_standings(cases, Verdict.REPLACE), why),
        }
        gone = {
            case.message.sequence
            for case in cases
            if case.verdict == Verdict.DROP or case.message.notification_id in done
        }
        await stream.delete(self._bus, gone)
        return gone

    async def _fail(self, standings: Sequence[Standing]) -> list[UUID]:
        if not standings:
            return []
        changes = await self._store.fail_poisoned(
            [standing.id for standing in standings], _POISON_REASON
        )
        failed = [change.notification_id for change in changes]
        for id_ in failed:
            log.error("notification.poisoned", notification_id=str(id_))
        await self._publisher.announce(changes)
        await self._publisher.write_letters(await self._store.letters_of(failed))
        return failed

    async def _replace(self, standings: Sequence[Standing], why: Why) -> list[UUID]:
        if not standings:
            return []
        requeued = await self._store.requeue(
            [(standing.id, standing.sequence, why) for standing in standings]
        )
        self._metrics.requeued(requeued.why)
        await self._publisher.announce(requeued.changes)
        await self._publisher.queue(requeued.group)
        return requeued.group.notification_ids


def _standings(cases: Iterable[Case], verdict: Verdict) -> list[Standing]:
    """Return where the notifications of one verdict stand, each once."""
    return list(
        {
            case.standing.id: case.standing
            for case in cases
            if case.verdict == verdict and case.standing is not None
        }.values()
    )
