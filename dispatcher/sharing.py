"""Breakers that all dispatchers share, through the bucket ``BREAKERS``.

A change is written only over the revision that was last heard, so of several dispatchers
that want one the first wins: a breaker opens once, and one dispatcher probes. Counts are not
written anywhere: each dispatcher says its own in its heartbeat, and adds what it hears.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
import nats.errors
import structlog
from nats.js.errors import APIError

from contracts import subjects
from contracts.breakers import BreakerCondition, BreakerState
from contracts.mesh import ProviderReading
from contracts.topology import BREAKERS
from dispatcher.breakers import LEAST_HEALTH, Breaker, HealthPolicy
from dispatcher.metrics import Metrics
from dispatcher.peers import Peers
from ops.runtime.bucket_watch import BucketWatch
from ops.runtime.bus import Bus
from ops.runtime.controls import Controls
from ops.runtime.values import EXPECTED_HEADER, WRONG_REVISION, read_value

log = structlog.stdlib.get_logger()

_PERIOD_SECONDS = 0.1
_decode = msgspec.json.Decoder(BreakerState).decode


class Breakers:
    """The breaker of every provider this dispatcher may send to."""

    def __init__(
        self,
        bus: Bus,
        controls: Controls,
        peers: Peers,
        metrics: Metrics,
        *,
        instance: str,
    ) -> None:
        self._bus = bus
        self._controls = controls
        self._peers = peers
        self._metrics = metrics
        self._instance = instance
        self._breakers: dict[str, Breaker] = {}
        self._health: dict[str, float] = {}
        self._last_heard: dict[str, tuple[BreakerState, int]] = {}
        self._ticked_at = time.monotonic()
        self._stirred = asyncio.Event()
        self._on_change: list[Callable[[], None]] = []
        self._watch = BucketWatch(bus, BREAKERS, self._hear)
        controls.on_change(self._hear_orders)

    def on_change(self, call: Callable[[], None]) -> None:
        """Call ``call`` after a breaker changed; it must not block."""
        self._on_change.append(call)

    def adopt(self, policies: Mapping[str, HealthPolicy]) -> None:
        """Watch over these providers, each by its policy; others are forgotten."""
        kept = {
            name: self._breakers.get(name) or self._made(name, policy)
            for name, policy in policies.items()
        }
        for name in self._breakers.keys() - kept:
            self._metrics.provider_left(name)
        self._breakers = kept
        for name, breaker in kept.items():
            breaker.adopt(policies[name])
            self._show(breaker)

    def _made(self, name: str, policy: HealthPolicy) -> Breaker:
        breaker = Breaker(name, self._instance, policy, self._stirred.set)
        self._metrics.provider_used(name)
        breaker.order = self._controls.breaker(name)
        if name in self._last_heard:
            breaker.heard(*self._last_heard[name], time.monotonic())
        return breaker

    def of(self, name: str) -> Breaker:
        """Return the breaker of a provider that was adopted."""
        return self._breakers[name]

    def health(self, name: str) -> float:
        """Return how much of its share a provider should get, from 0 to 1."""
        if not self._breakers[name].passes:
            return 0.0
        return max(self._health.get(name, 1.0), LEAST_HEALTH)

    async def follow(self, stopping: asyncio.Event) -> None:
        """Hear of changes until told to stop."""
        await self._watch.run(stopping)

    async def tick(self) -> None:
        """After a moment, write what breakers want to become, and let health return."""
        try:
            async with asyncio.timeout(_PERIOD_SECONDS):
                await self._stirred.wait()
        except TimeoutError:
            pass
        self._stirred.clear()
        now = time.monotonic()
        elapsed, self._ticked_at = now - self._ticked_at, now
        for breaker in self._breakers.values():
            name = breaker.name
            elsewhere = self._peers.tally(name, breaker.revision, self._instance, now)
            tally = breaker.window.tally(now).plus(elsewhere)
            self._health[name] = breaker.policy.health_after(
                self._health.get(name, 1.0),
                tally,
                closed=breaker.passes,
                elapsed_seconds=elapsed,
            )
            wanted = breaker.wanted(now, datetime.now(UTC), elsewhere)
            if wanted is not None and self._bus.connected.is_set():
                await self._write(breaker, wanted)

    async def _write(self, breaker: Breaker, wanted: BreakerState) -> None:
        try:
            ack = await self._bus.js.publish(
                subjects.bucket_value(BREAKERS.name, breaker.name),
                msgspec.json.encode(wanted),
                headers={EXPECTED_HEADER: str(breaker.revision)},
            )
        except APIError as error:
            if error.err_code == WRONG_REVISION:
                await self._look_behind(breaker)
            else:
                self._not_shared(breaker, error)
        except (nats.errors.Error, ConnectionError) as error:
            self._not_shared(breaker, error)
        else:
            self._become(breaker, wanted, ack.seq)

    async def _look_behind(self, breaker: Breaker) -> None:
        """Go by an older value if that is the last there is, as in a bucket made again.

        A newer one, by another who was first, will be heard.
        """
        try:
            there = await read_value(self._bus, BREAKERS, breaker.name)
        except (nats.errors.Error, ConnectionError) as error:
            self._not_shared(breaker, error)
            return
        if there.revision < breaker.revision:
            self._take(breaker.name, *there, went_back=True)

    def _not_shared(self, breaker: Breaker, error: Exception) -> None:
        log.info("breaker.not_shared", provider=breaker.name, error=repr(error))

    def _hear(self, name: str, payload: bytes | None, revision: int) -> None:
        heard = self._last_heard.get(name)
        self._take(
            name,
            payload,
            revision,
            went_back=heard is not None and revision <= heard[1],
        )

    def _take(
        self, name: str, payload: bytes | None, revision: int, *, went_back: bool
    ) -> None:
        try:
            state = _closed() if payload is None else _decode(payload)
        except msgspec.DecodeError as error:
            log.warning("breaker.unreadable", provider=name, error=str(error))
            return
        if self._last_heard.get(name) == (state, revision):
            return
        breaker = self._breakers.get(name)
        if went_back and breaker is not None:
            log.warning(
                "breaker.went_back",
                provider=name,
                known=breaker.revision,
                revision=revision,
            )
            breaker.went_back()
        if not revision:
            # What is known here holds, and is written anew with the next change.
            self._last_heard.pop(name, None)
            return
        self._last_heard[name] = state, revision
        if breaker is not None:
            self._become(breaker, state, revision)

    def _become(self, breaker: Breaker, state: BreakerState, revision: int) -> None:
        before = breaker.condition
        if not breaker.heard(state, revision, time.monotonic()):
            return
        if before is not state.condition:
            self._metrics.breaker_changed(breaker.name, state.condition)
            say = log.warning if state.condition is BreakerCondition.OPEN else log.info
            say(
                "breaker.changed",
                provider=breaker.name,
                condition=state.condition,
                by=state.by,
                openings=state.openings,
            )
        self._changed(breaker)

    def _hear_orders(self) -> None:
        for breaker in self._breakers.values():
            order = self._controls.breaker(breaker.name)
            if order != breaker.order:
                breaker.order = order
                self._changed(breaker)

    def _changed(self, breaker: Breaker) -> None:
        self._show(breaker)
        for call in self._on_change:
            call()

    def _show(self, breaker: Breaker) -> None:
        self._metrics.breaker_is(breaker.name, breaker.shown)

    def readings(self) -> list[ProviderReading]:
        """Return what the heartbeat says of every provider."""
        now = time.monotonic()
        readings = []
        for breaker in self._breakers.values():
            tally = breaker.window.tally(now)
            readings.append(
                ProviderReading(
                    name=breaker.name,
                    breaker=breaker.shown,
                    revision=breaker.revision,
                    forced=breaker.forced,
                    sends=tally.sends,
                    failures=tally.failures,
                    slow=tally.slow,
                    latency_p95_seconds=breaker.window.p95_seconds(now),
                )
            )
        return readings


def _closed() -> BreakerState:
    return BreakerState(condition=BreakerCondition.CLOSED, by="", at=datetime.now(UTC))
