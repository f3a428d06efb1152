"""The tokens that one channel's pump has in hand."""

import math
import time

from contracts.channels import Channel
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.routing import Route

#: Tokens are fetched at this beat when there are fewer than could be used, so that a slow
#: channel works in small groups and not one by one.
_BEAT_SECONDS = 0.05
#: For urgent work there is no beat, only room to breathe for the one who is asked.
_URGENT_BEAT_SECONDS = 0.01
#: How long until somebody asks again though no provider may be sent to.
_LOOK_AGAIN_SECONDS = 0.5


class Purse:
    """Draws tokens when pulls are to be placed; what a pull did not bring is still in hand."""

    def __init__(
        self, channel: Channel, pacing: Pacing, route: Route, metrics: Metrics
    ) -> None:
        self._channel = channel
        self._pacing = pacing
        self._route = route
        self._metrics = metrics
        self._tokens = 0  #: in hand, those that open pulls will need included
        self._rate = 0.0  #: at which they were drawn
        self._more_at = 0.0
        self._urgent_at = 0.0
        self.drawn = 0  #: tokens in all; while this stands still, none has come

    def stir(self, outstanding: int) -> None:
        """Ask again at once: a limit may have changed.

        What was drawn at another rate is worth nothing at this one, but for the
        ``outstanding`` messages that may still come.
        """
        self._more_at = self._urgent_at = 0.0
        rate = self._pacing.rate(self._channel)
        if rate != self._rate:
            self._rate = rate
            self._tokens = min(self._tokens, outstanding)

    def spend(self, count: int) -> None:
        """Count messages that came."""
        self._tokens -= count

    def take_back(self, count: int) -> None:
        """Count messages that came and are not sent."""
        self._tokens += count

    @property
    def is_limited(self) -> bool:
        """Say whether a message takes a token of anybody's limit."""
        return self._pacing.rate(self._channel) > 0 or self._route.is_limited

    @property
    def next_at(self) -> float:
        """Return when there may be more, on the monotonic clock."""
        moments = [self._more_at, self._urgent_at]
        return min((at for at in moments if at > time.monotonic()), default=0.0)

    async def draw(
        self,
        size: int,
        *,
        urgent: int,
        outstanding: int,
        unsent: int,
        has_work: bool,
    ) -> int:
        """Return how many of ``size`` messages may be asked for now.

        ``urgent`` of them may use what is kept for urgent work. ``outstanding`` messages
        may still come, and ``unsent`` ones have come and wait for their send.
        """
        now = time.monotonic()
        free = self._tokens - outstanding
        if free < size and now >= self._more_at:
            grant = await self._pacing.take(self._channel, size - free)
            free += self._put_in(grant.tokens)
            if free < size:
                pause = max(grant.wait_seconds, _BEAT_SECONDS)
                self._wait(now + pause, has_work=has_work)
        if free < urgent and now >= self._urgent_at:
            grant = await self._pacing.take(self._channel, urgent - free, urgent=True)
            free += self._put_in(grant.tokens)
            if free < urgent:
                self._urgent_at = now + max(grant.wait_seconds, _URGENT_BEAT_SECONDS)
        if free <= 0:
            return 0
        # Their tokens are in the route's hand until their sends begin.
        ahead = outstanding + unsent
        size = min(free, size)
        grant = await self._route.reserve(size + ahead)
        if grant.tokens - ahead < size:
            pause = max(grant.wait_seconds, _BEAT_SECONDS)
            self._wait(max(self._more_at, now + pause), has_work=has_work)
        return max(0, min(grant.tokens - ahead, size))

    def _put_in(self, tokens: int) -> int:
        self._tokens += tokens
        self.drawn += tokens
        return tokens

    def _wait(self, until: float, *, has_work: bool) -> None:
        now = time.monotonic()
        if math.isinf(until):  # no provider may be sent to, which is no want of tokens
            self._more_at = now + _LOOK_AGAIN_SECONDS
            return
        if has_work:
            # What it was to wait may have passed while it asked for tokens.
            self._metrics.pacing_waited(self._channel, max(0.0, until - now))
        self._more_at = until
