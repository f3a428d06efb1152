"""Counts what a provider did lately: sends, failures, slow ones, and how long they took."""

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

_SLOTS = 10
#: Bounds of latencies in seconds, each a quarter above the one before: 1 ms to about a minute.
_BOUNDS = tuple(0.001 * 1.25**n for n in range(50))


class Tally(NamedTuple):
    """Sums over a window."""

    sends: int = 0
    failures: int = 0
    slow: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


class _Slot:
    __slots__ = ("failures", "latencies", "number", "sends", "slow")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sends = 0
        self.failures = 0
        self.slow = 0
        self.latencies = [0] * (len(_BOUNDS) + 1)


class Window:
    """A sliding window over any clock that only rises, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._slot_seconds = seconds / _SLOTS
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)

    def add(self, now: float, duration: float, *, failed: bool, slow: bool) -> None:
        """Count one send."""
        number = int(now / self._slot_seconds)
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number))
        slot = self._slots[-1]
        slot.sends += 1
        slot.failures += failed
        slot.slow += slow
        slot.latencies[bisect_left(_BOUNDS, duration)] += 1

    def tally(self, now: float) -> Tally:
        """Return the sums over the window that ends now."""
        recent = self._recent(now)
        return Tally(
            sum(slot.sends for slot in recent),
            sum(slot.failures for slot in recent),
            sum(slot.slow for slot in recent),
        )

    def p95_seconds(self, now: float) -> float:
        """Return a bound below which 95 of 100 sends stayed, at most a quarter too high."""
        recent = self._recent(now)
        left = 0.95 * sum(slot.sends for slot in recent)
        if not left:
            return 0.0
        for index, bound in enumerate(_BOUNDS):
            left -= sum(slot.latencies[index] for slot in recent)
            if left <= 0:
                return bound
        return _BOUNDS[-1]

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()

    def _recent(self, now: float) -> list[_Slot]:
        oldest = int(now / self._slot_seconds) - _SLOTS
        return [slot for slot in self._slots if slot.number > oldest]
