"""What the mesh did in the last minute, from what every service says of itself each second."""

from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

from contracts.mesh import ServiceState

_MINUTE_SECONDS = 60.0
_INSTANCES_AT_MOST = 1_000


class Counts(NamedTuple):
    """Notifications accepted by gateways, and delivered by dispatchers."""

    created: float = 0
    delivered: float = 0


class _Instance(NamedTuple):
    started_at: datetime
    totals: Counts


class Throughput:
    """Sums up what the counters of all processes rose by.

    Knows nothing of the time before it began to listen: a gateway's numbers are whole a
    minute after its start.
    """

    def __init__(self) -> None:
        self._began_at = datetime.now(UTC)
        self._known: dict[str, _Instance] = {}
        self._rises: deque[tuple[float, Counts]] = deque()

    def heard(self, state: ServiceState, now: float) -> None:
        """Take in the state of one process at a moment of the monotonic clock."""
        totals = Counts(
            created=state.gauges.get("accepted_notifications_total", 0.0),
            delivered=sum(lane.delivered for lane in state.lanes),
        )
        name = f"{state.service}.{state.instance}"
        before = self._known.pop(name, None)
        self._known[name] = _Instance(state.started_at, totals)  # the last heard of
        if len(self._known) > _INSTANCES_AT_MOST:
            del self._known[next(iter(self._known))]
        if before is not None and before.started_at == state.started_at:
            base = before.totals
        elif before is not None or state.started_at >= self._began_at:
            base = Counts()  # a new process: it has counted from nothing since
        else:
            return
        rise = Counts(
            max(totals.created - base.created, 0.0),
            max(totals.delivered - base.delivered, 0.0),
        )
        if any(rise):
            self._rises.append((now, rise))
        self._forget(now)

    def last_minute(self, now: float) -> Counts:
        """Return what was counted in the minute before a moment of the monotonic clock."""
        self._forget(now)
        return Counts(
            sum(rise.created for _, rise in self._rises),
            sum(rise.delivered for _, rise in self._rises),
        )

    def _forget(self, now: float) -> None:
        while self._rises and self._rises[0][0] <= now - _MINUTE_SECONDS:
            self._rises.popleft()
