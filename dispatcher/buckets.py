"""The arithmetic of token buckets, without clock or server."""

import math
from typing import NamedTuple

#: A bucket holds what its rate brings in this time: what a pump misses while it waits.
BURST_SECONDS = 0.1
#: One waiting pull on each of a channel's three lanes needs a token in hand.
BURST_AT_LEAST = 3


class Grant(NamedTuple):
    """Tokens taken, and the time until there is one more."""

    tokens: int
    wait_seconds: float


def burst_of(rate: float) -> int:
    """Return the size of a bucket that fills at ``rate`` tokens per second."""
    return max(BURST_AT_LEAST, math.ceil(rate * BURST_SECONDS))


class Bucket:
    """One process's own bucket (GCRA). It starts empty.

    It may take over from a shared bucket that was just drained: starting full would let a
    second burst through.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._full_at = now + burst_of(rate) / rate

    def take(self, wanted: int, rate: float, now: float) -> Grant:
        """Take up to ``wanted`` tokens; ``now`` is any clock that only rises, in seconds."""
        size = burst_of(rate)
        full_at = max(self._full_at, now)
        there = math.floor((now - full_at) * rate + size + 1e-6)
        granted = max(0, min(wanted, there))
        self._full_at = full_at + granted / rate
        wait = self._full_at + 1 / rate - (now + size / rate)
        return Grant(granted, max(0.0, wait))

    def charge(self, tokens: int, rate: float, now: float, debt_seconds: float) -> None:
        """Take tokens that may not be there, up to a debt worth ``debt_seconds``."""
        full_at = max(self._full_at, now)
        most = now + burst_of(rate) / rate + debt_seconds
        self._full_at = max(full_at, min(full_at + tokens / rate, most))
