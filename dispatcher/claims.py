"""Turns messages into claims."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import structlog

from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from dispatcher import answers, suspects
from dispatcher.answers import Answers
from dispatcher.holdings import Claim, Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.store import Store
from ops.runtime.absence import UNANSWERED, Absence
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

_AFTER_FAILURE_SECONDS = 5.0
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

_Ask = Callable[[Sequence[UUID]], Awaitable[list[Claim]]]


class Claims:
    """Claims groups of messages for one process."""

    def __init__(
        self,
        store: Store,
        leases: Leases,
        answers: Answers,
        metrics: Metrics,
        absence: Absence,
        *,
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._leases = leases
        self._answers = answers
        self._metrics = metrics
        self._absence = absence
        self._stopping = stopping
        self._one_looks_for_room = asyncio.Lock()
        self._asking: set[UUID] = set()  #: claims may be committed and not answered yet

    async def claim(self, group: Sequence[Holding]) -> list[Holding]:
        """Claim what may be sent now and return it.

        While the ledger is away the group is kept, and tried again, until it is back or
        the service is told to stop.
        """
        # Two messages may name one notification: the first gets the claim, the other is
        # answered as if it were somebody else's. A claim that is held here is not made
        # again, even if its lease ran out while the ledger was away: its send may be under
        # way, or its outcome about to be written. Nor is one that another task is asking for:
        # both would take what was committed and not answered for theirs.
        held, asking = self._leases.claimed_ids, self._asking
        self._leases.hold(group)
        first: dict[UUID, Holding] = {}
        for holding in group:
            if holding.id not in held and holding.id not in asking:
                first.setdefault(holding.id, holding)
        self._asking |= first.keys()
        try:
            claimed = await self._lease(first, self._store.claim)
            left = {id_: first[id_] for id_ in first if first[id_].claim is None}
            if left:
                async with self._one_looks_for_room:
                    claimed += await self._lease(left, self._claim_suspects)
        except BaseException:
            await self.put_back(group, _AFTER_FAILURE_SECONDS)
            raise
        finally:
            self._asking -= first.keys()
        self._metrics.claimed(Counter(holding.lane for holding in claimed))
        await self._answers.announce(
            [processing(holding.claim) for holding in claimed if holding.claim]
        )
        return claimed

    async def _lease(
        self, holdings: Mapping[UUID, Holding], ask: _Ask
    ) -> list[Holding]:
        """Return those that ``ask`` claimed, their leases attached; none when told to stop."""
        try:
            claims, asked_at = await self._ask_until_answered(list(holdings), ask)
        except _Stopped:
            return []
        claimed = []
        for claim in claims:
            holding = holdings[claim.id]
            self._leases.lease(holding, claim, asked_at)
            claimed.append(holding)
        return claimed

    async def _ask_until_answered(
        self, ids: Sequence[UUID], ask: _Ask
    ) -> tuple[list[Claim], float]:
        """Return claims, and a time on the monotonic clock before their leases began."""
        pause = _SHORTEST_PAUSE_SECONDS
        unanswered = False
        while True:
            asked_at = time.monotonic()
            try:
                with self._absence.watched(asked_at):
                    claims = await self._adopt(ids) if unanswered else []
                    taken = {claim.id for claim in claims}
                    claims += await ask([id_ for id_ in ids if id_ not in taken])
            except UNANSWERED as error:
                # Putting the group back would spend its deliveries, of which a long outage
                # has more than there are.
                unanswered = True
                log.warning("claim.interrupted", size=len(ids), error=repr(error))
            else:
                return claims, asked_at
            if await wait_for_stop(self._stopping, pause):
                raise _Stopped
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _claim_suspects(self, ids: Sequence[UUID]) -> list[Claim]:
        room = suspects.room(self._leases.lost_leases())
        if not ids or not room or self._absence.doubt_seconds:
            return []
        claimed = await self._store.claim_suspects(ids, suspects.WEIGHTS, room)
        if claimed:
            most = max(claim.lost_leases for claim in claimed)
            log.warning("suspects.claimed", count=len(claimed), lost_leases=most)
        return claimed

    async def _adopt(self, ids: Sequence[UUID]) -> list[Claim]:
        known = self._leases.claimed_ids
        return await self._store.adopt([id_ for id_ in ids if id_ not in known])

    async def put_back(
        self, group: Sequence[Holding], delay_seconds: float = 0.0
    ) -> None:
        """Let go of messages that were not claimed, for anyone to have."""
        self._leases.let_go(group)
        await self._answers.send(
            [answers.put_back(holding.reply, delay_seconds) for holding in group]
        )


def processing(claim: Claim) -> StatusChanged:
    """Return the event that tells of a claim."""
    return StatusChanged(
        notification_id=claim.id,
        tenant=claim.tenant,
        channel=claim.channel,
        priority=claim.priority,
        status=Status.PROCESSING,
        attempts=claim.attempts,
        sequence=claim.fence,
        at=claim.at,
        correlation_id=claim.correlation_id,
        batch_id=claim.batch_id,
    )


class _Stopped(Exception):
    """The service was told to stop while the ledger was away."""
