"""Token buckets (GCRA): one shared by all processes in Redis, and one of a process's own."""

import math
from pathlib import Path
from typing import NamedTuple, cast

from redis.asyncio import Redis

_SCRIPT = Path(__file__).with_name("gcra.lua").read_text()


class Pace(NamedTuple):
    """How fast a bucket fills, and how much it holds."""

    per_second: float
    size: int


class Grant(NamedTuple):
    """Tokens taken, the time until there are enough again, and what was left."""

    tokens: int
    wait_seconds: float
    left: int = 0


class SharedBuckets:
    """Buckets in Redis, by name. Every call is one round trip and raises ``limits.AWAY``."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_SCRIPT)

    async def take(
        self,
        name: str,
        pace: Pace,
        wanted: int,
        *,
        fewest: int = 1,
        charged: int = 0,
        debt_seconds: float = 0.0,
    ) -> Grant:
        """Take up to ``wanted`` tokens, but none rather than less than ``fewest``.

        More than the bucket holds is granted while it is full, and makes a debt. ``charged``
        tokens go without asking, up to a debt worth ``debt_seconds``.
        """
        tokens, wait, left = cast(
            "tuple[int, int, int]",
            await self._script(
                keys=[name], args=[*pace, wanted, fewest, charged, debt_seconds]
            ),
        )
        return Grant(tokens, wait / 1_000_000, left)


class Bucket:
    """One process's own bucket, by the same rules. It starts empty unless told otherwise.

    It may take over from a shared bucket that was just drained: starting full would let a
    second burst through.
    """

    def __init__(self, pace: Pace, now: float, there: int = 0) -> None:
        self._full_at = now + (pace.size - there) / pace.per_second

    def take(self, wanted: int, pace: Pace, now: float, *, fewest: int = 1) -> Grant:
        """Take tokens as ``SharedBuckets`` does; ``now`` is any clock that only rises."""
        interval = 1 / pace.per_second
        full_at = max(self._full_at, now)
        there = math.floor((now - full_at) / interval + pace.size + 1e-6)
        needed = min(fewest, pace.size)
        granted = 0
        if there >= needed:
            granted = max(0, min(wanted, max(there, fewest)))
        self._full_at = full_at + granted * interval
        wait = self._full_at + needed * interval - (now + pace.size * interval)
        return Grant(granted, max(0.0, wait), max(0, there - granted))

    def charge(self, tokens: int, pace: Pace, now: float, debt_seconds: float) -> None:
        """Take tokens that may not be there, up to a debt worth ``debt_seconds``."""
        full_at = max(self._full_at, now)
        most = now + pace.size / pace.per_second + debt_seconds
        self._full_at = max(full_at, min(full_at + tokens / pace.per_second, most))
