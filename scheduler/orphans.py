"""Finds messages that the bus keeps and will not deliver, though no advisory said so.

An advisory that nobody captured is lost for good, and its message stays: first in its lane
for ever, where it would also hide from the reconciliation everything younger.
"""

import structlog

from contracts.channels import Lane
from ops.runtime.bus import Bus
from scheduler import stream
from scheduler.jobs import Done
from scheduler.metrics import Metrics
from scheduler.rows import Why
from scheduler.stream import LaneState
from scheduler.undelivered import Case, Undelivered, Verdict

log = structlog.stdlib.get_logger()

_MESSAGES_AT_ONCE = 100

#: A message that will come again does so well within this, and that changes its row.
_UNTOUCHED_SECONDS = 60.0


class Orphans:
    """Counts each lane's undeliverable messages, and acts when a second look finds them too.

    The count does not say which messages they are. So the oldest delivered ones are looked
    at, and a notification that has not moved for a minute gets a new message in place of the
    old: right for an orphan, harmless for one that was only waiting. Poison is not decided
    here: a notification that still kills dispatchers ends in an advisory the next time.
    """

    def __init__(
        self,
        bus: Bus,
        undelivered: Undelivered,
        metrics: Metrics,
        *,
        untouched_seconds: float = _UNTOUCHED_SECONDS,
    ) -> None:
        self._bus = bus
        self._undelivered = undelivered
        self._metrics = metrics
        self._untouched_seconds = untouched_seconds
        self._suspected: set[Lane] = set()

    async def step(self) -> Done:
        """Look once."""
        states = await stream.lane_states(self._bus)
        for lane, state in states.items():
            self._metrics.orphans_seen(lane, state.orphans)
        orphaned = {lane for lane, state in states.items() if state.orphans}
        # Counts taken one after the other differ for a moment while messages flow.
        twice, self._suspected = orphaned & self._suspected, orphaned
        settled = 0
        for lane in twice:
            settled += await self._settle(lane, states[lane])
        return Done(
            scanned=sum(state.orphans for state in states.values()),
            why={Why.ORPHANED: settled},
        )

    async def _settle(self, lane: Lane, state: LaneState) -> int:
        """Return how many messages are gone."""
        oldest = stream.oldest_in_order(self._bus, lane, _MESSAGES_AT_ONCE)
        cases = await self._undelivered.examine(
            [
                message
                async for message in oldest
                if message.sequence <= state.delivered_to
            ]
        )
        gone = await self._undelivered.settle(
            [self._mild(case) for case in cases], Why.ORPHANED
        )
        if gone:
            log.warning("orphans.settled", lane=str(lane), messages=len(gone))
        return len(gone)

    def _mild(self, case: Case) -> Case:
        if case.verdict not in (Verdict.POISON, Verdict.REPLACE):
            return case
        assert case.standing is not None, "what is unknown is dropped"
        stuck = case.standing.untouched_seconds > self._untouched_seconds
        return case._replace(verdict=Verdict.REPLACE if stuck else Verdict.LEAVE)
