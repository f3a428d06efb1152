"""How many requests each caller may make: a token bucket each, shared by all gateways.

The buckets are in Redis. A gateway takes a small lease of tokens at a time and spends it
without asking, so a busy caller costs a round trip every hundredth of its limit. Every
token that is spent was taken from the shared bucket first: with ``n`` gateways a caller
gets at most ``n`` hundredths of its limit later than it was due, and never more in all.

While Redis is away each gateway counts for itself, with the whole limit: our outage is not
the callers' fault, and what gets in is bounded still.
"""

import asyncio
import math
import time

import structlog
from redis.asyncio import Redis

from gateway.errors import RateLimited
from gateway.metrics import Metrics
from ops.runtime import limits
from ops.runtime.buckets import Bucket, Grant, Pace, SharedBuckets
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

WINDOW_SECONDS = 60
_LEASES_IN_A_BUCKET = 100

#: Asking may take so long; then Redis counts as away.
_ASK_SECONDS = 0.25
_PROBE_SECONDS = 1.0

#: Addresses can be made up; forgetting a caller loses it a lease at most.
_REMEMBERED_AT_MOST = 50_000


class Allowances:
    """The allowance of every caller, by name."""

    def __init__(
        self,
        redis: Redis,
        metrics: Metrics,
        *,
        per_minute: int,
        ask_seconds: float = _ASK_SECONDS,
    ) -> None:
        self._ask_seconds = ask_seconds
        self.pace = Pace(per_minute / WINDOW_SECONDS, per_minute)
        self.policy = b'"default";q=%d;w=%d' % (per_minute, WINDOW_SECONDS)
        self._lease = per_minute // _LEASES_IN_A_BUCKET
        self._redis = redis
        self._shared = SharedBuckets(redis)
        self._metrics = metrics
        self._known: dict[str, Allowance] = {}
        self._local: dict[str, Bucket] = {}
        self._away = False

    def of(self, caller: str) -> "Allowance":
        """Return the allowance of one caller; asks nobody."""
        allowance = self._known.get(caller)
        if allowance is None:
            if len(self._known) >= _REMEMBERED_AT_MOST:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._local.pop(oldest, None)
            allowance = self._known[caller] = Allowance(self, caller)
        return allowance

    async def take(self, caller: str, fewest: int, there: int) -> Grant:
        """Take at least ``fewest`` tokens or none; ``there`` were left when last seen."""
        if not self._away:
            try:
                async with asyncio.timeout(self._ask_seconds):
                    return await self._shared.take(
                        f"tocsin:rate:{caller}",
                        self.pace,
                        fewest + self._lease,
                        fewest=fewest,
                    )
            except limits.AWAY as error:
                self._fall_back(error)
        now = time.monotonic()
        if caller not in self._local:
            self._local[caller] = Bucket(self.pace, now, there)
        return self._local[caller].take(fewest, self.pace, now, fewest=fewest)

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask Redis, while it is away, whether it is back."""
        while not await wait_for_stop(stopping, _PROBE_SECONDS):
            if not self._away:
                continue
            try:
                async with asyncio.timeout(self._ask_seconds):
                    await self._redis.ping()
            except limits.AWAY:
                continue
            self._local.clear()
            self._away = False
            self._metrics.limits_shared()
            log.info("rate_limits.shared")

    def _fall_back(self, error: Exception) -> None:
        if self._away:
            return  # another caller has noticed
        self._away = True
        self._metrics.limits_fell_back()
        log.warning("rate_limits.fell_back", error=repr(error))


class Allowance:
    """What one caller may still do."""

    __slots__ = (
        "_allowances",
        "_asking",
        "_caller",
        "_held",
        "_left",
        "_refused_cost",
        "_refused_until",
        "_seen_at",
    )

    def __init__(self, allowances: Allowances, caller: str) -> None:
        self._allowances = allowances
        self._caller = caller
        self._asking = asyncio.Lock()
        self._held = 0
        self._left = allowances.pace.size
        self._seen_at = 0.0
        self._refused_cost = 0
        self._refused_until = 0.0

    async def spend(self, cost: int) -> None:
        """Pay for a request; ``RateLimited`` when the caller has to wait for that."""
        if self._held >= cost:
            self._held -= cost
            return
        async with self._asking:
            if self._held < cost:
                await self._ask(cost)
            self._held -= cost

    def give_back(self, tokens: int) -> None:
        """Take back what was paid for a request that was refused for its size."""
        self._held += tokens

    async def _ask(self, cost: int) -> None:
        """Hold at least ``cost`` tokens, or raise."""
        now = time.monotonic()
        if cost >= self._refused_cost and now < self._refused_until:
            raise RateLimited(self._refused_until - now)
        missing = cost - self._held
        grant = await self._allowances.take(
            self._caller, missing, self._remaining(now) - self._held
        )
        now = time.monotonic()
        self._left, self._seen_at = grant.left, now
        if not grant.tokens:
            self._refused_cost = cost
            self._refused_until = now + grant.wait_seconds
            raise RateLimited(grant.wait_seconds)
        self._held += grant.tokens

    def _remaining(self, now: float) -> int:
        """Return about how many tokens there are; others may have taken some since."""
        pace = self._allowances.pace
        came = (now - self._seen_at) * pace.per_second
        return min(pace.size, self._left + self._held + math.floor(came))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Say what is left (draft-ietf-httpapi-ratelimit-headers-10)."""
        now = time.monotonic()
        remaining = self._remaining(now)
        next_in = 1 / self._allowances.pace.per_second
        if not remaining and self._refused_cost == 1:
            next_in = max(next_in, self._refused_until - now)
        return [
            (b"ratelimit-policy", self._allowances.policy),
            (b"ratelimit", b'"default";r=%d;t=%d' % (remaining, math.ceil(next_in))),
        ]
