"""Claims of one channel that wait for their turn to be sent."""

from collections import deque
from collections.abc import Collection

from contracts.channels import Priority
from dispatcher.demand import URGENT
from dispatcher.holdings import Holding


class Line:
    """The most urgent first, and within a priority the oldest."""

    def __init__(self) -> None:
        self._waiting: dict[Priority, deque[Holding]] = {
            priority: deque() for priority in Priority
        }

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def has_urgent(self) -> bool:
        """Say whether one of high priority waits."""
        return bool(self._waiting[URGENT])

    def add(self, holding: Holding) -> None:
        """Put a claim at the end of its priority."""
        self._waiting[holding.lane.priority].append(holding)

    def next(self) -> Holding | None:
        """Take the claim whose turn it is."""
        for waiting in self._waiting.values():
            if waiting:
                return waiting.popleft()
        return None

    def take(self, priorities: Collection[Priority] = tuple(Priority)) -> list[Holding]:
        """Take all that wait, or those of some priorities."""
        taken: list[Holding] = []
        for priority in priorities:
            taken += self._waiting[priority]
            self._waiting[priority].clear()
        return taken
