"""Answers messages whose notification is not to be sent now."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import structlog

from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from dispatcher import answers
from dispatcher.answers import Answers, termination
from dispatcher.holdings import Holding
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.store import Sighting, Store
from ops.runtime.absence import Absence

log = structlog.stdlib.get_logger()

#: A message is put back for at most this long; a longer wait on the bus could be lost with it.
_PUT_BACK_AT_MOST_SECONDS = 30.0
_PUT_BACK_AT_LEAST_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 5.0
#: How long until there may be room for one that lost its dispatcher before.
_SUSPECT_SECONDS = 0.5


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


#: This process has claimed it for another message; only it may say how that ends.
_HELD_HERE = Verdict("leased", Action.PUT_BACK, 5.0)


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
        case Sighting(suspect=True):
            return Verdict("suspect", Action.PUT_BACK, _SUSPECT_SECONDS)
    return Verdict("raced", Action.PUT_BACK, _PUT_BACK_AT_LEAST_SECONDS)


def _put_back_seconds(wait: float) -> float:
    return min(max(wait, _PUT_BACK_AT_LEAST_SECONDS), _PUT_BACK_AT_MOST_SECONDS)


class Unclaimed:
    """Looks at rows that were not claimed, and acknowledges, puts back or ends their messages."""

    def __init__(
        self,
        store: Store,
        leases: Leases,
        answers: Answers,
        metrics: Metrics,
        absence: Absence,
    ) -> None:
        self._store = store
        self._leases = leases
        self._answers = answers
        self._metrics = metrics
        self._absence = absence

    async def answer(self, group: Sequence[Holding]) -> None:
        """Answer every message; what fails in between puts all of them back for a while."""
        try:
            answered = await self._decide(group)
        except BaseException:
            answered = [
                answers.put_back(holding.reply, _AFTER_FAILURE_SECONDS)
                for holding in group
            ]
            raise
        finally:
            self._leases.let_go(group)
            await self._answers.send(answered)

    async def _decide(self, group: Sequence[Holding]) -> list[bytes]:
        ids = {holding.id for holding in group}
        held = ids & self._leases.claimed_ids
        ids -= held
        seen = {sighting.id: sighting for sighting in await self._store.look([*ids])}
        verdicts = {id_: self._judge(seen.get(id_)) for id_ in ids}
        verdicts |= dict.fromkeys(held, _HELD_HERE)
        to_fail = [id_ for id_ in ids if verdicts[id_].action is Action.FAIL]
        changes = await self._store.give_up(to_fail) if to_fail else []
        await self._answers.announce(changes)
        failed = {change.notification_id: change for change in changes}
        return [
            self._act(holding, verdicts[holding.id], failed.get(holding.id))
            for holding in group
        ]

    def _judge(self, sighting: Sighting | None) -> Verdict:
        """Leave what an owner, who could not say so, may still be sending."""
        doubt = self._absence.doubt_seconds
        match sighting:
            case Sighting(status=Status.PROCESSING, lease_seconds=float(left)) if (
                left <= 0 < doubt
            ):
                return Verdict("leased", Action.PUT_BACK, _put_back_seconds(doubt))
        return verdict(sighting)

    def _act(
        self, holding: Holding, seen: Verdict, failed: StatusChanged | None
    ) -> bytes:
        self._metrics.unclaimed(holding.lane.channel, seen.reason)
        match seen.action:
            case Action.ACK:
                return answers.ack(holding.reply)
            case Action.PUT_BACK:
                return answers.put_back(holding.reply, seen.delay_seconds)
            case Action.FAIL if failed is not None:
                return self._fail(holding, failed)
            case Action.FAIL:  # somebody else was faster: look again
                return answers.put_back(holding.reply, _PUT_BACK_AT_LEAST_SECONDS)
            case Action.TERMINATE:
                log.warning(
                    "message.unknown",
                    notification_id=str(holding.id),
                    lane=str(holding.lane),
                )
                reason = termination(holding.id, "unknown")
                return answers.terminate(holding.reply, reason)

    def _fail(self, holding: Holding, failed: StatusChanged) -> bytes:
        self._metrics.settled(holding.lane, Status.FAILED, 1)
        log.info(
            "notification.failed",
            notification_id=str(holding.id),
            failure_class=failed.failure_class,
            attempts=failed.attempts,
        )
        reason = termination(holding.id, failed.failure_class)
        return answers.terminate(holding.reply, reason)
