"""Decides how many messages a channel may fetch now.

Tokens come from one bucket per channel and provider in Redis, shared by all dispatchers.
While Redis is away each dispatcher uses its share of the limit, by the number of
dispatchers whose heartbeat it hears: sending goes on, at about the agreed rate.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import structlog
from redis.asyncio import Redis

from contracts.channels import Channel
from dispatcher.buckets import Bucket, Grant, burst_of
from dispatcher.metrics import Metrics
from dispatcher.peers import Peers
from ops.runtime import limits
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

_SCRIPT = Path(__file__).with_name("gcra.lua").read_text()

#: A provider that answers "too many" to everything gets a tenth of the rate; one that does so
#: now and then hardly notices.
THROTTLED_COSTS = 9
_DEBT_SECONDS = 5.0

_PROBE_SECONDS = 1.0


class Pacing:
    """Tokens for every channel; a rate of 0 asks nobody and grants everything."""

    def __init__(
        self,
        redis: Redis,
        peers: Peers,
        metrics: Metrics,
        *,
        rate: float,
        provider_names: Mapping[Channel, str],
    ) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)
        self._peers = peers
        self._metrics = metrics
        self._rate = rate
        self._keys = {
            channel: f"tocsin:pace:{channel}:{name}"
            for channel, name in provider_names.items()
        }
        self._away = asyncio.Event()
        self._local: dict[Channel, Bucket] = {}

    async def take(self, channel: Channel, wanted: int) -> Grant:
        """Take up to ``wanted`` tokens, and say how long until there is another one."""
        if not self._rate:
            return Grant(wanted, 0.0)
        if not self._away.is_set():
            try:
                return await self._run(channel, wanted=wanted, charged=0)
            except limits.AWAY as error:
                self._fall_back(error)
        now = time.monotonic()
        rate = self._rate / self._peers.count(now)
        return self._bucket(channel, rate, now).take(wanted, rate, now)

    async def charge_for_throttling(self, channel: Channel) -> None:
        """Slow a channel whose provider asked for it; every answer of that kind costs more."""
        if not self._rate:
            return
        if not self._away.is_set():
            try:
                await self._run(channel, wanted=0, charged=THROTTLED_COSTS)
                return
            except limits.AWAY as error:
                self._fall_back(error)
        now = time.monotonic()
        rate = self._rate / self._peers.count(now)
        self._bucket(channel, rate, now).charge(
            THROTTLED_COSTS, rate, now, _DEBT_SECONDS
        )

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

    async def _run(self, channel: Channel, *, wanted: int, charged: int) -> Grant:
        granted, wait = cast(
            "tuple[int, int]",
            await self._script(
                keys=[self._keys[channel]],
                args=[self._rate, burst_of(self._rate), wanted, charged, _DEBT_SECONDS],
            ),
        )
        return Grant(granted, wait / 1_000_000)

    def _fall_back(self, error: Exception) -> None:
        if self._away.is_set():
            return  # another channel has noticed
        self._away.set()
        self._metrics.pacing_fell_back()
        log.warning("pacing.fell_back", error=repr(error))

    def _bucket(self, channel: Channel, rate: float, now: float) -> Bucket:
        if channel not in self._local:
            self._local[channel] = Bucket(rate, now)
        return self._local[channel]
