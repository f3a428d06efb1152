"""Amounts second by second, over the last few minutes."""

import math


class SecondsRing:
    """Keeps one number for each of the last ``seconds`` seconds.

    A second nobody has spoken for is a gap (None), never a zero: a lost connection must
    not look like an idle lane.
    """

    def __init__(self, seconds: int) -> None:
        self._size = seconds
        self._values: list[float | None] = [None] * seconds
        self._newest: int | None = None

    def spread(self, start: float, end: float, amount: float) -> None:
        """Add an amount that came about evenly between two moments.

        What lies before the oldest second kept is dropped. So is the share of a second
        that was a gap until ``start``: half a second's amount would pass for the whole.
        """
        per_second = amount / (end - start)
        for second in range(math.floor(start), math.ceil(end)):
            covered = min(end, second + 1) - max(start, second)
            if second >= start or self._at(second) is not None:
                self._add(second, covered * per_second)

    def add(self, moment: float, amount: float) -> None:
        """Add an amount to a moment's second."""
        self._add(math.floor(moment), amount)

    def put(self, moment: float, value: float) -> None:
        """Set the value of a moment's second; the last one given holds."""
        second = math.floor(moment)
        if self._reach(second):
            self._values[second % self._size] = value

    def last(self, end: float, seconds: int) -> list[float | None]:
        """Return the ``seconds`` whole seconds before ``end``, oldest first."""
        stop = math.floor(end)
        return [self._at(second) for second in range(stop - seconds, stop)]

    def total(self, end: float, seconds: int) -> float | None:
        """Return the sum over the last whole seconds; None when all are gaps."""
        known = [value for value in self.last(end, seconds) if value is not None]
        return sum(known) if known else None

    def mean(self, end: float, seconds: int) -> float | None:
        """Return the mean over those of the last whole seconds that are not gaps."""
        known = [value for value in self.last(end, seconds) if value is not None]
        return sum(known) / len(known) if known else None

    def _add(self, second: int, amount: float) -> None:
        if self._reach(second):
            index = second % self._size
            self._values[index] = (self._values[index] or 0.0) + amount

    def _reach(self, second: int) -> bool:
        """Make room for a second; False when it is older than what is kept."""
        if self._newest is None:
            self._newest = second
        elif second > self._newest:
            for skipped in range(
                max(self._newest + 1, second - self._size + 1), second + 1
            ):
                self._values[skipped % self._size] = None
            self._newest = second
        return second > self._newest - self._size

    def _at(self, second: int) -> float | None:
        if (
            self._newest is None
            or not self._newest - self._size < second <= self._newest
        ):
            return None
        return self._values[second % self._size]
