"""Decides how many messages may be fetched now.

Tokens come from one bucket per channel in Redis, and one per provider that has a limit of its
own, shared by all dispatchers.
While Redis is away each dispatcher uses its share of the limit, by the number of
dispatchers whose heartbeat it hears: sending goes on, at about the agreed rate.
"""

import asyncio
import math
import time
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from contracts.channels import Channel
from dispatcher.metrics import Metrics
from dispatcher.peers import Peers
from dispatcher.rates import Rates
from ops.runtime import limits
from ops.runtime.buckets import Bucket, Grant, Pace, SharedBuckets
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

#: A bucket holds what its rate brings in this time: what a pump misses while it waits.
BURST_SECONDS = 0.1
#: One waiting pull on each of a channel's three lanes needs a token in hand.
BURST_AT_LEAST = 3
#: What a bucket holds beside that is kept for urgent work: a backlog of the less urgent, which
#: takes every token as soon as it is there, leaves these.
KEPT_SECONDS = 0.03

#: A provider that answers "too many" to everything gets a tenth of the rate; one that does so
#: now and then hardly notices.
THROTTLED_COSTS = 9
_DEBT_SECONDS = 5.0

_PROBE_SECONDS = 1.0


def pace_of(rate: float) -> Pace:
    """Return the bucket that fills at ``rate`` tokens per second."""
    return Pace(rate, max(BURST_AT_LEAST, math.ceil(rate * BURST_SECONDS)))


def urgent_pace_of(rate: float) -> Pace:
    """Return the same bucket as urgent work sees it: with what is kept for it."""
    return Pace(rate, pace_of(rate).size + math.ceil(rate * KEPT_SECONDS))


class Pacing:
    """Tokens for channels and providers; a rate of 0 asks nobody and grants everything."""

    def __init__(
        self, redis: Redis, peers: Peers, metrics: Metrics, rates: Rates
    ) -> None:
        self._redis = redis
        self._shared = SharedBuckets(redis)
        self._peers = peers
        self._metrics = metrics
        self._rates = rates
        self._away = asyncio.Event()
        self._local: dict[str, Bucket] = {}
        self._taken = dict.fromkeys(Channel, 0)
        self._read_at = time.monotonic()

    def rate(self, channel: Channel) -> float:
        """Return what a channel may send per second; 0 is unlimited."""
        return self._rates.channel(channel)

    async def take(
        self, channel: Channel, wanted: int, *, urgent: bool = False
    ) -> Grant:
        """Take up to ``wanted`` tokens, and say how long until there is another one."""
        rate = self._rates.channel(channel)
        grant = await self._take(
            channel, rate, wanted, urgent_pace_of if urgent else pace_of
        )
        self._taken[channel] += grant.tokens
        return grant

    async def take_for(self, provider: str, wanted: int) -> Grant:
        """Take tokens of a provider's own limit."""
        return await self._take(
            f"provider:{provider}", self._rates.provider(provider), wanted, pace_of
        )

    async def charge_for_throttling(self, channel: Channel, provider: str) -> None:
        """Slow down for a provider that asked for it; every answer of that kind costs more.

        Its own limit pays, or the channel's where it has none.
        """
        if rate := self._rates.provider(provider):
            await self._charge(f"provider:{provider}", rate)
        elif rate := self._rates.channel(channel):
            await self._charge(channel, rate)

    async def _take(
        self, name: str, rate: float, wanted: int, pace: Callable[[float], Pace]
    ) -> Grant:
        if not rate:
            return Grant(wanted, 0.0)
        if not self._away.is_set():
            try:
                return await self._run(name, pace(rate), wanted=wanted)
            except limits.AWAY as error:
                self._fall_back(error)
        now = time.monotonic()
        share = pace(self._share(rate, now))
        return self._bucket(name, share, now).take(wanted, share, now)

    async def _charge(self, name: str, rate: float) -> None:
        if not self._away.is_set():
            try:
                await self._run(name, pace_of(rate), charged=THROTTLED_COSTS)
                return
            except limits.AWAY as error:
                self._fall_back(error)
        now = time.monotonic()
        share = pace_of(self._share(rate, now))
        self._bucket(name, share, now).charge(
            THROTTLED_COSTS, share, now, _DEBT_SECONDS
        )

    def tokens_per_second(self) -> dict[Channel, float]:
        """Return what was taken of each limit since this was last asked."""
        now = time.monotonic()
        elapsed, self._read_at = now - self._read_at, now
        taken, self._taken = self._taken, dict.fromkeys(Channel, 0)
        return {
            channel: tokens / elapsed
            for channel, tokens in taken.items()
            if self._rates.channel(channel)
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask Redis, while it is away, whether it is back."""
        while not stopping.is_set():
            if await wait_for_stop(stopping, _PROBE_SECONDS) or not self._away.is_set():
                continue
            try:
                await self._redis.ping()
            except limits.AWAY:
                continue
            self._local.clear()
            self._away.clear()
            self._metrics.pacing_shared()
            log.info("pacing.shared")

    async def _run(
        self, name: str, pace: Pace, *, wanted: int = 0, charged: int = 0
    ) -> Grant:
        # A rate has a bucket of its own: a debt made at another one would be paid at this.
        return await self._shared.take(
            f"tocsin:pace:{name}:{pace.per_second:g}",
            pace,
            wanted,
            charged=charged,
            debt_seconds=_DEBT_SECONDS,
        )

    def _fall_back(self, error: Exception) -> None:
        if self._away.is_set():
            return  # another channel has noticed
        self._away.set()
        self._metrics.pacing_fell_back()
        log.warning("pacing.fell_back", error=repr(error))

    def _share(self, rate: float, now: float) -> float:
        return rate / self._peers.count(now)

    def _bucket(self, name: str, share: Pace, now: float) -> Bucket:
        if name not in self._local:
            self._local[name] = Bucket(share, now)
        return self._local[name]
