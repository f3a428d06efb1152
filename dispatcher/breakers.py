"""One provider's breaker, without clock or server.

It opens when too many sends of a window failed, lets one notification probe after a while,
and closes when that is accepted. What it wants to become is written by ``sharing``, where
the first of all dispatchers wins; only what was written and heard takes effect.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel
from contracts.controls import BreakerOrder, BreakerOverride
from dispatcher.windows import Tally, Window

#: A probe that has not come back after this was lost with its dispatcher.
PROBE_SECONDS = 15.0
#: A channel that may send the probe finds a notification in this time, or lets others try.
_PROBE_HELD_SECONDS = 1.0
#: What a slow provider, or one that has just come back, gets of its share.
LEAST_HEALTH = 0.05
#: So few sends say nothing, however few a provider takes.
_FEWEST_SENDS = 3

_Share = Annotated[float, Meta(gt=0, le=1)]
_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class HealthPolicy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """When a provider is left, and how it is returned to."""

    failure_share: _Share = 0.5
    minimum_sends: Annotated[int, Meta(ge=1)] = 20
    window_seconds: _Seconds = 10.0
    open_seconds: _Seconds = 5.0
    open_at_most_seconds: _Seconds = 60.0
    slow_seconds: _Seconds = 2.0
    slow_share: _Share = 0.5
    return_seconds: _Seconds = 30.0

    def fitted(self, concurrency: int, timeout_seconds: float) -> Self:
        """Return this for a provider that takes so many sends at a time.

        While it hangs, no more of them end in a window than time out, so half of these must be
        enough to judge by.
        """
        ending = concurrency * self.window_seconds / timeout_seconds
        enough = max(_FEWEST_SENDS, math.ceil(ending / 2))
        return msgspec.structs.replace(
            self, minimum_sends=min(self.minimum_sends, enough)
        )

    def fails(self, tally: Tally) -> bool:
        """Say whether so much failed that nothing more should be sent."""
        return (
            tally.sends >= self.minimum_sends
            and tally.failures >= self.failure_share * tally.sends
        )

    def lags(self, tally: Tally) -> bool:
        """Say whether so much was slow that others should carry the traffic."""
        return (
            tally.sends >= self.minimum_sends
            and tally.slow >= self.slow_share * tally.sends
        )

    def pause_seconds(self, openings: int) -> float:
        """Return how long to leave a provider alone that was opened so often in a row."""
        doublings = min(openings - 1, 20)
        return min(self.open_seconds * 2.0**doublings, self.open_at_most_seconds)

    def health_after(
        self, health: float, tally: Tally, *, closed: bool, elapsed_seconds: float
    ) -> float:
        """Return how much of its share a provider should get, from 0 to 1.

        It falls at once and rises evenly, from a trickle to the whole in ``return_seconds``.
        """
        if not closed:
            return 0.0
        if self.lags(tally):
            return LEAST_HEALTH
        return min(
            1.0, max(health, LEAST_HEALTH) + elapsed_seconds / self.return_seconds
        )


class Breaker:
    """One provider as this process knows it; ``now`` is the monotonic clock.

    ``stir`` is called when it is worth asking at once what this wants to become.
    """

    def __init__(
        self,
        name: str,
        instance: str,
        policy: HealthPolicy,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.window = Window(policy.window_seconds)
        self.revision = 0
        self.condition = BreakerCondition.CLOSED
        self.order: BreakerOverride | None = None
        self._instance = instance
        self._stir = stir
        self._failed_lately = 0
        self._state: BreakerState | None = None
        self._until = math.inf
        self._probe_out = False
        self._probe_holder: Channel | None = None
        self._probe_held_until = -math.inf
        self._verdict: bool | None = None  #: of our probe: whether it failed

    @property
    def forced(self) -> bool:
        """Say whether an operator holds it open."""
        return self.order is not None and self.order.order is BreakerOrder.OPEN

    @property
    def passes(self) -> bool:
        """Say whether the provider may be sent to freely."""
        return self.condition is BreakerCondition.CLOSED and not self.forced

    @property
    def may_probe(self) -> bool:
        """Say whether one notification may be sent to find out."""
        return (
            self.condition is BreakerCondition.HALF_OPEN
            and self._state is not None
            and self._state.by == self._instance
            and not self.forced
            and not self._probe_out
        )

    @property
    def shown(self) -> BreakerCondition:
        """Return the condition as people should see it."""
        return BreakerCondition.OPEN if self.forced else self.condition

    def adopt(self, policy: HealthPolicy) -> None:
        """Go by another policy; a window of another length starts anew."""
        if policy.window_seconds != self.policy.window_seconds:
            self.window = Window(policy.window_seconds)
        self.policy = policy

    def reserve_probe(self, channel: Channel, now: float) -> bool:
        """Say whether a channel may send the probe; others may not for the moment."""
        if not self.may_probe:
            return False
        if self._probe_holder not in (None, channel) and now < self._probe_held_until:
            return False
        self._probe_holder = channel
        self._probe_held_until = now + _PROBE_HELD_SECONDS
        return True

    def release_probe(self, channel: Channel) -> None:
        """Let another channel send the probe."""
        if self._probe_holder is channel:
            self._probe_holder = None

    def probe(self) -> None:
        """Note that the probe is on its way."""
        self._probe_out = True

    def probe_lost(self) -> None:
        """Note that the probe was never sent: another one may go."""
        self._probe_out = False

    def record(
        self, now: float, duration: float, *, failed: bool, slow: bool, probe: bool
    ) -> None:
        """Take note of a send that ended; stragglers of a closed time say nothing new."""
        if self.condition is BreakerCondition.CLOSED:
            self.window.add(now, duration, failed=failed, slow=slow)
            self._failed_lately += failed
            if failed and 2 * self._failed_lately >= self.policy.minimum_sends:
                self._stir()
        elif probe and self._probe_out:
            self._verdict = failed
            self._stir()

    def heard(self, state: BreakerState, revision: int, now: float) -> bool:
        """Become what the dispatchers agreed on; False when it was known."""
        if revision <= self.revision:
            return False
        self.revision = revision
        self.condition = state.condition
        self._state = state
        self._until = now + state.wait_seconds
        self._probe_out = False
        self._probe_holder = None
        self._verdict = None
        self.window.clear()
        return True

    def went_back(self) -> None:
        """Note that revisions begin anew: whatever is heard next is news."""
        self.revision = 0

    def wanted(self, now: float, at: datetime, elsewhere: Tally) -> BreakerState | None:
        """Return what this should become now; ``elsewhere`` counts for other dispatchers."""
        self._failed_lately = 0
        order = self.order
        obeyed = self._state.obeyed if self._state else None
        if order is not None and order.at != obeyed:
            match order.order:
                case BreakerOrder.PROBE:
                    return self._half_opened(at, order.at)
                case BreakerOrder.RESET:
                    return self._closed(at, order.at)
                case BreakerOrder.OPEN:
                    return None  # in force for as long as it stands
        match self.condition:
            case BreakerCondition.CLOSED:
                if self.policy.fails(self.window.tally(now).plus(elsewhere)):
                    return self._opened(at)
            case BreakerCondition.OPEN:
                if now >= self._until:
                    return self._half_opened(at, obeyed)
            case BreakerCondition.HALF_OPEN:
                if self._verdict is not None:
                    return (
                        self._opened(at) if self._verdict else self._closed(at, obeyed)
                    )
                if now >= self._until:
                    return self._half_opened(at, obeyed)
        return None

    def _opened(self, at: datetime) -> BreakerState:
        openings = (self._state.openings if self._state else 0) + 1
        return BreakerState(
            condition=BreakerCondition.OPEN,
            by=self._instance,
            at=at,
            wait_seconds=self.policy.pause_seconds(openings),
            openings=openings,
            obeyed=self._state.obeyed if self._state else None,
        )

    def _half_opened(self, at: datetime, obeyed: datetime | None) -> BreakerState:
        return BreakerState(
            condition=BreakerCondition.HALF_OPEN,
            by=self._instance,
            at=at,
            wait_seconds=PROBE_SECONDS,
            openings=self._state.openings if self._state else 0,
            obeyed=obeyed,
        )

    def _closed(self, at: datetime, obeyed: datetime | None) -> BreakerState:
        return BreakerState(
            condition=BreakerCondition.CLOSED, by=self._instance, at=at, obeyed=obeyed
        )
