"""Chooses the provider of each message of a channel."""

import math
import time
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from contracts.channels import Channel
from dispatcher.breakers import Breaker
from dispatcher.pacing import Pacing
from dispatcher.places import Narrow
from dispatcher.providers.port import Provider
from dispatcher.rates import Rates
from dispatcher.sharing import Breakers
from ops.runtime.buckets import Grant

_NOTHING_LEFT = 1e-9


class Pick(NamedTuple):
    """The provider of one message."""

    name: str
    provider: Provider
    breaker: Breaker
    probe: bool = False  #: its outcome decides whether the provider is back


class Passage(Enum):
    """What a channel may fetch."""

    OPEN = auto()
    PROBE = auto()  #: one message
    SHUT = auto()


class RouteLeg:
    """One provider of a channel, and what it is owed."""

    def __init__(self, name: str, provider: Provider, weight: float, breaker: Breaker):
        self.name = name
        self.provider = provider
        self.weight = weight
        self.breaker = breaker
        self.rate = 0.0
        self.share = 0.0
        self.credit = 0.0
        self.purse = 0  #: tokens in hand of a provider with a limit of its own
        self.pick = Pick(name, provider, breaker)
        self._narrow = provider if isinstance(provider, Narrow) else None

    def go_by(self, rate: float) -> None:
        """Take its limit; tokens and debts of another one are worth nothing at this."""
        if rate != self.rate:
            self.rate = rate
            self.purse = 0

    @property
    def has_token(self) -> bool:
        """Say whether a message may go this way."""
        return not self.rate or self.purse > 0

    @property
    def places(self) -> float:
        """Return how many sends may begin beside those under way."""
        return math.inf if self._narrow is None else self._narrow.free

    @property
    def is_simple(self) -> bool:
        """Say whether neither tokens nor places are counted."""
        return not self.rate and self._narrow is None


class Route:
    """The providers of one channel, in order."""

    def __init__(
        self, channel: Channel, breakers: Breakers, rates: Rates, pacing: Pacing
    ) -> None:
        self._channel = channel
        self._breakers = breakers
        self._rates = rates
        self._pacing = pacing
        self._legs: tuple[RouteLeg, ...] = ()
        self._only: Pick | None = None  #: takes everything, without asking anybody

    @property
    def legs(self) -> Sequence[RouteLeg]:
        """Return the providers."""
        return self._legs

    def replace(self, legs: Iterable[RouteLeg]) -> None:
        """Go these ways from now on."""
        self._legs = tuple(legs)
        self.refresh()

    def refresh(self) -> None:
        """Divide the traffic anew, by weights and by how the providers are."""
        health = [self._breakers.health(leg.name) for leg in self._legs]
        parts = shares([leg.weight for leg in self._legs], health)
        for leg, part in zip(self._legs, parts, strict=True):
            leg.share = part
            leg.go_by(self._rates.provider(leg.name))
        used = [leg for leg in self._legs if leg.share]
        probing = any(leg.breaker.may_probe for leg in self._legs)
        simple = len(used) == 1 and used[0].is_simple and not probing
        self._only = used[0].pick if simple else None

    def passage(self) -> Passage:
        """Say what may be fetched; a channel without providers fails what comes."""
        if self._only or not self._legs or any(leg.share for leg in self._legs):
            return Passage.OPEN
        now = time.monotonic()
        if self._leg_to_probe(now) is not None:
            return Passage.PROBE
        return Passage.SHUT

    def _leg_to_probe(self, now: float) -> RouteLeg | None:
        for leg in self._legs:
            if leg.places and leg.breaker.reserve_probe(self._channel, now):
                return leg
        return None

    @property
    def used(self) -> Sequence[Provider]:
        """Return the providers that may be sent to, or all when none may."""
        used = [leg for leg in self._legs if leg.share] or self._legs
        return [leg.provider for leg in used]

    @property
    def is_limited(self) -> bool:
        """Say whether one of the providers has a limit of its own."""
        return any(leg.rate for leg in self._legs)

    def release_probe(self) -> None:
        """Let another channel try: this one has nothing to send."""
        for leg in self._legs:
            leg.breaker.release_probe(self._channel)

    async def reserve(self, wanted: int) -> Grant:
        """Return how many of ``wanted`` messages the providers' own limits allow.

        Tokens stay in hand until ``pick`` uses them, so asking again costs nothing. What a
        provider has no place for goes to another: where that one is limited, places count too.
        """
        if self._only or not self._legs:
            return Grant(wanted, 0.0)
        used = [leg for leg in self._legs if leg.share]
        wait = math.inf
        for leg in used:
            if leg.rate:
                lacking = math.ceil(wanted * leg.share) - leg.purse
                wait = min(wait, await self._fill(leg, lacking))
        if _need_no_tokens(used):
            return Grant(wanted, 0.0)
        # What one provider has no tokens or places for, another may have.
        places = [leg.places if len(used) > 1 else math.inf for leg in used]
        for leg, free in zip(used, places, strict=True):
            if leg.rate:
                useful = min(wanted - _room(used, places), free - leg.purse)
                wait = min(wait, await self._fill(leg, int(useful)))
        there = max(0, int(_room(used, places)))
        if any(map(math.isfinite, places)):
            wait = 0.0  # a place may be free at any moment
        return Grant(min(there, wanted), 0.0 if there >= wanted else wait)

    async def _fill(self, leg: RouteLeg, lacking: int) -> float:
        if lacking <= 0:
            return math.inf
        grant = await self._pacing.take_for(leg.name, lacking)
        leg.purse += grant.tokens
        return grant.wait_seconds if grant.tokens < lacking else math.inf

    def pick(self) -> Pick | None:
        """Return the provider of the next message; None when none may be sent to."""
        if self._only is not None:
            return self._only
        now = time.monotonic()
        if (leg := self._leg_to_probe(now)) is not None:
            leg.breaker.probe()
            return leg.pick._replace(probe=True)
        able = [leg for leg in self._legs if leg.share and leg.places]
        if not able:
            return None
        for leg in able:
            leg.credit += leg.share
        # Owed tokens: a breaker that opened a moment ago has left its messages to the others.
        chosen = max(
            [leg for leg in able if leg.has_token] or able, key=lambda leg: leg.credit
        )
        chosen.credit -= sum(leg.share for leg in able)
        if chosen.rate:
            chosen.purse -= 1
        return chosen.pick


def _need_no_tokens(used: Sequence[RouteLeg]) -> bool:
    """Say whether no message is left over for a provider with a limit of its own."""
    if not any(leg.rate for leg in used):
        return bool(used)
    return any(leg.is_simple for leg in used)


def _room(used: Sequence[RouteLeg], places: Sequence[float]) -> float:
    """Return how many messages could go to these providers now."""
    return sum(
        min(free, leg.purse) if leg.rate else free
        for leg, free in zip(used, places, strict=True)
    )


def shares(weights: Sequence[float], health: Sequence[float]) -> list[float]:
    """Divide a channel's traffic among its providers: parts of 1, or all 0 when none passes.

    Each gets its weight's part as far as it is healthy. What that leaves goes to those in full
    health by their weights, or else to the first that stands by, or else to all that pass.
    """
    whole = sum(weights)
    parts = [w / whole * h for w, h in zip(weights, health, strict=True)]
    left = 1.0 - sum(parts)
    if left > _NOTHING_LEFT:
        sound = [w if h >= 1.0 else 0.0 for w, h in zip(weights, health, strict=True)]
        standing_by = [
            i
            for i, (w, h) in enumerate(zip(weights, health, strict=True))
            if not w and h
        ]
        if any(sound):
            total = sum(sound)
            parts = [p + left * s / total for p, s in zip(parts, sound, strict=True)]
        elif standing_by:
            parts[standing_by[0]] += left
    total = sum(parts)
    return [part / total for part in parts] if total > 0 else parts
