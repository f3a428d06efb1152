"""The nine lanes added up, and the dead letters beside them."""

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

from console.model.views import LaneView, TotalsView

NEW_SECONDS = 300

_Number = TypeVar("_Number", int, float)


class DeadLetterCount:
    """How many dead letters there are, and how many came lately."""

    def __init__(self) -> None:
        self.count: int | None = None
        self._rises: deque[tuple[float, int]] = deque()

    def take(self, now: float, count: int) -> int:
        """Take a new count and return by how much it rose; a fall is no news."""
        risen = 0 if self.count is None else max(0, count - self.count)
        self.count = count
        if risen:
            self._rises.append((now, risen))
        return risen

    def new(self, now: float) -> int:
        """Return how many came in the last five minutes, as far as the console saw."""
        while self._rises and now - self._rises[0][0] > NEW_SECONDS:
            self._rises.popleft()
        return sum(risen for _, risen in self._rises)


def sum_up(
    lanes: Iterable[LaneView],
    outcomes: Iterable[tuple[float, float]],
    dead_letters: DeadLetterCount,
    now: float,
) -> TotalsView:
    """Add up the lanes; a number nobody has said for any lane stays None."""
    lanes = tuple(lanes)
    delivered, failed = (sum(amounts) for amounts in zip(*outcomes, strict=True))
    return TotalsView(
        queued=_sum(lane.queued for lane in lanes),
        in_flight=_sum(lane.in_flight for lane in lanes),
        rate=_sum(lane.rate for lane in lanes),
        failing=failed / (delivered + failed) if delivered + failed else None,
        oldest_seconds=max(
            (lane.oldest_seconds for lane in lanes if lane.oldest_seconds is not None),
            default=None,
        ),
        dead_letters=dead_letters.count,
        dead_letters_new=dead_letters.new(now),
    )


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
