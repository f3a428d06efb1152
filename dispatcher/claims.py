"""Turns messages into claims, and answers those that lead to none."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from dispatcher.answers import Answers, termination
from dispatcher.holdings import Claim, Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.store import Sighting, Store
from ops.runtime import ledger
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

#: A message is put back for at most this long; a longer wait on the bus could be lost with it.
_PUT_BACK_AT_MOST_SECONDS = 30.0
_PUT_BACK_AT_LEAST_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 5.0
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Claims:
    """Claims groups of messages for one process."""

    def __init__(
        self,
        store: Store,
        leases: Leases,
        answers: Answers,
        metrics: Metrics,
        *,
        lease_seconds: float,
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._leases = leases
        self._answers = answers
        self._metrics = metrics
        self._lease_seconds = lease_seconds
        self._stopping = stopping

    async def claim(self, group: Sequence[Holding]) -> list[Holding]:
        """Claim what may be sent now and return it.

        While the ledger is away the group is kept, and tried again, until it is back or
        the service is told to stop.
        """
        # Two messages may name one notification: the first gets the claim, the other is
        # answered as if it were somebody else's.
        first: dict[UUID, Holding] = {}
        for holding in group:
            self._leases.hold(holding)
            first.setdefault(holding.id, holding)
        try:
            claims, asked_at = await self._ask_until_answered(list(first))
        except _Stopped:
            return []
        except BaseException:
            await self.put_back(group, _AFTER_FAILURE_SECONDS)
            raise
        claimed = []
        for claim in claims:
            holding = first[claim.id]
            holding.lease(claim, asked_at, self._lease_seconds)
            claimed.append(holding)
        self._metrics.claimed(Counter(holding.lane for holding in claimed))
        await self._answers.announce(map(processing, claims))
        return claimed

    async def _ask_until_answered(
        self, ids: Sequence[UUID]
    ) -> tuple[list[Claim], float]:
        """Return claims, and a time on the monotonic clock before their leases began."""
        pause = _SHORTEST_PAUSE_SECONDS
        unanswered = False
        while True:
            asked_at = time.monotonic()
            try:
                claims = await self._adopt(ids) if unanswered else []
                taken = {claim.id for claim in claims}
                claims += await self._store.claim(
                    [id_ for id_ in ids if id_ not in taken]
                )
            except (*ledger.AWAY, asyncpg.PostgresError) as error:
                # Also a full disk or a standby: putting the group back would spend its
                # deliveries, of which a long outage has more than there are.
                unanswered = True
                log.warning("claim.interrupted", size=len(ids), error=repr(error))
            else:
                return claims, asked_at
            if await wait_for_stop(self._stopping, pause):
                raise _Stopped
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _adopt(self, ids: Sequence[UUID]) -> list[Claim]:
        known = self._leases.claimed_ids()
        return await self._store.adopt([id_ for id_ in ids if id_ not in known])

    async def answer(self, unclaimed: Sequence[Holding]) -> None:
        """Acknowledge, put back or end messages whose notification is not to be sent now."""
        try:
            sightings = {
                sighting.id: sighting
                for sighting in await self._store.look([h.id for h in unclaimed])
            }
            verdicts = {
                id_: verdict(sightings.get(id_)) for id_ in {h.id for h in unclaimed}
            }
            to_fail = [id_ for id_, v in verdicts.items() if v.action is Action.FAIL]
            failed = {
                change.notification_id: change
                for change in (await self._store.give_up(to_fail) if to_fail else [])
            }
        except BaseException:
            await self.put_back(unclaimed, _AFTER_FAILURE_SECONDS)
            raise
        await self._answers.announce(failed.values())
        for holding in unclaimed:
            self._leases.let_go(holding)
            await self._act(holding, verdicts[holding.id], failed.get(holding.id))

    async def put_back(
        self, group: Sequence[Holding], delay_seconds: float = 0.0
    ) -> None:
        """Let go of messages that were not claimed, for anyone to have."""
        for holding in group:
            self._leases.let_go(holding)
            await self._answers.put_back(holding.reply, delay_seconds)

    async def _act(
        self, holding: Holding, seen: "Verdict", failed: StatusChanged | None
    ) -> None:
        self._metrics.unclaimed(holding.lane.channel, seen.reason)
        match seen.action:
            case Action.ACK:
                await self._answers.ack(holding.reply)
            case Action.PUT_BACK:
                await self._answers.put_back(holding.reply, seen.delay_seconds)
            case Action.FAIL if failed is not None:
                self._metrics.settled(holding.lane, Status.FAILED)
                log.info(
                    "notification.failed",
                    notification_id=str(holding.id),
                    failure_class=failed.failure_class,
                    attempts=failed.attempts,
                )
                await self._answers.terminate(
                    holding.reply, termination(holding.id, failed.failure_class)
                )
            case Action.FAIL:  # somebody else was faster: look again
                await self._answers.put_back(holding.reply, _PUT_BACK_AT_LEAST_SECONDS)
            case Action.TERMINATE:
                log.warning(
                    "message.unknown",
                    notification_id=str(holding.id),
                    lane=str(holding.lane),
                )
                await self._answers.terminate(
                    holding.reply, termination(holding.id, "unknown")
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


class Action(Enum):
    """What to tell the bus of a message that was not claimed."""

    ACK = auto()
    PUT_BACK = auto()
    FAIL = auto()  #: the notification fails; its message ends
    TERMINATE = auto()  #: nothing to fail: the message alone ends


class Verdict(NamedTuple):
    """What a look at an unclaimed row leads to; the reason is one of ``metrics.UNCLAIMED``."""

    reason: str
    action: Action
    delay_seconds: float = 0.0


def verdict(sighting: Sighting | None) -> Verdict:
    """Say what to do with a message whose row was not claimed.

    A message is published only after its row is committed, so one without a row is not
    ours to keep. A row that is parked, or still pending, comes back through the scheduler.
    """
    match sighting:
        case None:
            return Verdict("unknown", Action.TERMINATE)
        case Sighting(is_final=True):
            return Verdict("final", Action.ACK)
        case Sighting(on_bus=False):
            return Verdict("parked", Action.ACK)
        case Sighting(status=Status.PROCESSING, lease_seconds=float(left)) if left > 0:
            return Verdict("leased", Action.PUT_BACK, _put_back_seconds(left))
        case Sighting(expired=True):
            return Verdict("expired", Action.FAIL)
        case Sighting(exhausted=True):
            return Verdict("exhausted", Action.FAIL)
        case Sighting(wait_seconds=float(wait)) if wait > 0:
            return Verdict("early", Action.PUT_BACK, _put_back_seconds(wait))
    return Verdict("raced", Action.PUT_BACK, _PUT_BACK_AT_LEAST_SECONDS)


def _put_back_seconds(wait: float) -> float:
    return min(max(wait, _PUT_BACK_AT_LEAST_SECONDS), _PUT_BACK_AT_MOST_SECONDS)
