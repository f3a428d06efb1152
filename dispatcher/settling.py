"""Writes outcomes to the ledger in groups, then tells the mesh and the bus of them.

While one group is being written the next gathers: no timers, low latency when idle, large
groups under load. The order is fixed: commit, then status events, then acknowledgements.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec
import structlog

from contracts.channels import Channel
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from contracts.outcomes import FailureClass
from dispatcher import answers
from dispatcher.answers import Answers, termination
from dispatcher.demand import URGENT
from dispatcher.holdings import Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.providers.port import Outcome
from dispatcher.retries import Decision, Done, GiveBack, GiveUp, Retry
from dispatcher.slots import Slots
from dispatcher.store import Result, Settled, Store
from dispatcher.turnstiles import Turnstile
from ops.runtime.absence import REFUSED, UNANSWERED, Absence
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

GROUP_AT_MOST = 1000
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
#: Before each group of the others while urgent ones come: larger groups leave more of the
#: processor, and of the ledger, to those.
_GATHER_SECONDS = 0.05

Key = tuple[UUID, int]


class _Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the trace says of an attempt."""

    attempt: int
    outcome: str
    provider: str | None = None
    code: str | None = None
    words: str | None = None
    duration_ms: int | None = None
    retry_at: datetime | None = None


_encode = msgspec.json.Encoder().encode


class Finished(NamedTuple):
    """One claim with its outcome, to be written."""

    holding: Holding
    decision: Decision
    result: Result


def finish(
    holding: Holding,
    decision: Decision,
    outcome: Outcome,
    provider: str | None = None,
    duration_seconds: float | None = None,
) -> Finished:
    """Put an outcome, and what was decided on it, into the form of the ledger."""
    assert holding.claim is not None
    claim = holding.claim
    retry_at: datetime | None = None
    because: FailureClass | None = None
    parked = False
    match decision:
        case Done():
            status = Status.DELIVERED
        case Retry(at=retry_at, parked=parked, because=because):
            status = Status.RETRYING
        case GiveUp(because=because):
            status = Status.FAILED
        case GiveBack():
            status = Status.QUEUED
    details = _Details(
        attempt=claim.attempts,
        outcome=str(outcome.kind),
        provider=provider,
        code=outcome.code,
        words=outcome.words,
        duration_ms=None if duration_seconds is None else round(duration_seconds * 1e3),
        retry_at=retry_at,
    )
    result = Result(
        id=claim.id,
        fence=claim.fence,
        status=status,
        details=_encode(details).decode(),
        spared=isinstance(decision, GiveBack),
        retry_at=retry_at,
        parked=parked,
        provider=provider,
        provider_message_id=outcome.message_id,
        failure_class=because,
        failure_reason=_reason(outcome) if because is not None else None,
    )
    return Finished(holding, decision, result)


def _reason(outcome: Outcome) -> str:
    known = [part for part in (outcome.code, outcome.words) if part]
    return ": ".join(known) or str(outcome.kind)


class _Gathered:
    """Outcomes that wait for the statement under way."""

    def __init__(self) -> None:
        self.finished: list[Finished] = []
        self.added = asyncio.Event()


class Settler:
    """Owns every outcome from the moment it is known until it is in the ledger.

    An outcome handed over is written even when the task that made it is cancelled. While
    the ledger is away outcomes are kept, their leases renewed, and written when it is back.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        answers: Answers,
        metrics: Metrics,
        absence: Absence,
        slots: Mapping[Channel, Slots],
        turnstile: Turnstile,
    ) -> None:
        self._store = store
        self._leases = leases
        self._answers = answers
        self._metrics = metrics
        self._absence = absence
        self._slots = slots
        self._turnstile = turnstile
        self._urgent, self._others = _Gathered(), _Gathered()
        self._closing = False
        self._too_late = asyncio.Event()

    def add(self, finished: Finished) -> None:
        """Take charge of one outcome."""
        finished.holding.has_outcome = True
        is_urgent = finished.holding.lane.priority is URGENT
        gathered = self._urgent if is_urgent else self._others
        gathered.finished.append(finished)
        gathered.added.set()

    def close(self) -> None:
        """Let ``run`` return once everything is written."""
        self._closing = True
        self._urgent.added.set()
        self._others.added.set()

    def give_up_writing(self) -> None:
        """Stop trying when the ledger does not answer; leases then end by themselves."""
        self._too_late.set()

    async def run(self) -> None:
        """Write groups until closed and empty, urgent ones beside the others."""
        async with asyncio.TaskGroup() as tasks:
            for gathered in (self._urgent, self._others):
                tasks.create_task(self._write_what(gathered), name="settle")

    async def _write_what(self, gathered: "_Gathered") -> None:
        while True:
            await gathered.added.wait()
            if not gathered.finished:
                if self._closing:
                    return
                gathered.added.clear()
                continue
            if gathered is self._others and self._turnstile.is_narrow:
                await asyncio.sleep(_GATHER_SECONDS)
            group = gathered.finished[:GROUP_AT_MOST]
            del gathered.finished[:GROUP_AT_MOST]
            await self._settle(group)

    async def _settle(self, group: list[Finished]) -> None:
        group.sort(key=lambda finished: finished.holding.id.int)
        started_at = time.monotonic()
        settled = await self._write([finished.result for finished in group])
        self._metrics.settle_finished(len(group), time.monotonic() - started_at)
        written = [f for f in group if (f.result.id, f.result.fence) in settled]
        await self._answers.announce(
            [status_changed(f, settled[f.result.id, f.result.fence]) for f in written]
        )
        await self._answers.send([answer_to(finished) for finished in written])
        by_status = Counter((f.holding.lane, f.result.status) for f in written)
        for (lane, status), count in by_status.items():
            self._metrics.settled(lane, status, count)
        by_lane = Counter(finished.holding.lane for finished in group)
        self._metrics.released(by_lane)
        self._leases.let_go(finished.holding for finished in group)
        for lane, count in by_lane.items():
            self._slots[lane.channel].settled(count)

    async def _write(self, results: Sequence[Result]) -> Mapping[Key, Settled]:
        """Return what is in the ledger; results that lost their lease are traced and left out."""
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            try:
                with self._absence.watched(time.monotonic()):
                    settled = await self._store.settle(results)
                    missing = [r for r in results if (r.id, r.fence) not in settled]
                    return {**settled, **await self._record_late(missing)}
            except REFUSED as error:
                return await self._write_apart(results, error)
            except UNANSWERED as error:
                log.warning("settle.interrupted", size=len(results), error=repr(error))
            if await wait_for_stop(self._too_late, pause):
                self._metrics.outcomes_unwritten(len(results))
                log.error("outcomes.unwritten", size=len(results))
                return {}
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _record_late(self, results: Sequence[Result]) -> Mapping[Key, Settled]:
        if not results:
            return {}
        settled = await self._store.record_late(results)
        if late := len(results) - len(settled):
            self._metrics.late_outcomes(late)
            log.warning("outcomes.late", count=late)
        return settled

    async def _write_apart(
        self, results: Sequence[Result], error: asyncpg.PostgresError
    ) -> Mapping[Key, Settled]:
        """Find the result that the ledger refuses, so that it harms no other."""
        if len(results) == 1:
            self._metrics.outcomes_unwritten(1)
            log.error(
                "outcome.refused",
                notification_id=str(results[0].id),
                error=type(error).__name__,
            )
            return {}
        middle = len(results) // 2
        return {
            **await self._write(results[:middle]),
            **await self._write(results[middle:]),
        }


def answer_to(finished: Finished) -> bytes:
    """Return what the bus is told of a written outcome."""
    reply = finished.holding.reply
    match finished.decision:
        case Done() | Retry(parked=True):
            return answers.ack(reply)
        case Retry(at=at):
            left = (at - finished.holding.now()).total_seconds()
            return answers.put_back(reply, left)
        case GiveBack(rest_seconds=rest):
            return answers.put_back(reply, rest)
        case GiveUp(because=because):
            reason = termination(finished.holding.id, because)
            return answers.terminate(reply, reason)


def status_changed(finished: Finished, settled: Settled) -> StatusChanged:
    """Return the event that tells of a written outcome."""
    claim, result = finished.holding.claim, finished.result
    assert claim is not None
    return StatusChanged(
        notification_id=claim.id,
        tenant=claim.tenant,
        channel=claim.channel,
        priority=claim.priority,
        status=result.status,
        attempts=claim.attempts - result.spared,
        sequence=settled.sequence,
        at=settled.at,
        correlation_id=claim.correlation_id,
        batch_id=claim.batch_id,
        failure_class=result.failure_class,
        provider=result.provider,
    )
