"""Calls the provider for claims, many at once, and hands every outcome to the settler."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from random import Random

import msgspec
import structlog

from contracts.channels import Channel, Lane, Priority
from contracts.outcomes import OutcomeClass
from contracts.tracing import continue_trace
from dispatcher import retries
from dispatcher.bugs import log_bug
from dispatcher.crews import Crew
from dispatcher.deadlines import Deadline, Deadlines
from dispatcher.demand import URGENT
from dispatcher.holdings import Claim, Holding
from dispatcher.lines import Line
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.providers.port import OutboundMessage, Outcome, Provider, short
from dispatcher.providers.redaction import redact
from dispatcher.retries import GiveBack, Policies
from dispatcher.routing import Pick, Route
from dispatcher.settling import Settler, finish
from dispatcher.slots import Slots
from dispatcher.turnstiles import Turnstile

log = structlog.stdlib.get_logger()

_TIMED_OUT = Outcome(kind=OutcomeClass.TRANSIENT, code="timeout")
_NO_PROVIDER = Outcome(kind=OutcomeClass.UNROUTABLE, code="no_provider")
_TOO_LATE = Outcome(kind=OutcomeClass.OURS, code="too_late")
_BUG = Outcome(kind=OutcomeClass.OURS, code="bug")
_SHUTDOWN = Outcome(kind=OutcomeClass.OURS, code="shutdown")
_PAUSED = Outcome(kind=OutcomeClass.OURS, code="paused")
_NO_PASSAGE = Outcome(kind=OutcomeClass.OURS, code="breaker_open")
_AT_ONCE = GiveBack(0.0)
_A_MOMENT = GiveBack(1.0)
#: What counts against a provider. A refusal for good is an answer, and "too many" is one too.
COUNTS_AGAINST = frozenset({OutcomeClass.TRANSIENT, OutcomeClass.OURS})


class Sends:
    """The attempts under way in this process."""

    def __init__(
        self,
        routes: Mapping[Channel, Route],
        policies: Policies,
        settler: Settler,
        pacing: Pacing,
        metrics: Metrics,
        rng: Random,
        slots: Mapping[Channel, Slots],
        turnstile: Turnstile,
    ) -> None:
        self._routes = routes
        self._policies = policies
        self._settler = settler
        self._metrics = metrics
        self._rng = rng
        self._pacing = pacing
        self._slots = slots
        self._deadlines = Deadlines()
        self._turnstile = turnstile
        self._lines = {channel: Line() for channel in routes}
        self._crews = {
            channel: Crew(
                self._lines[channel],
                slots[channel],
                self._deadlines,
                partial(self._send_next, channel),
            )
            for channel in routes
        }

    def start(self, holdings: Sequence[Holding]) -> None:
        """Line up claims: each is sent once, the most urgent first, as soon as there is room."""
        for holding in holdings:
            self._lines[holding.lane.channel].add(holding)
        lanes = Counter(holding.lane for holding in holdings)
        for channel, crew in self._crews.items():
            crew.call()
            self._turnstile.let_through(channel, lanes[Lane(channel, URGENT)])

    def make_way(self, urgent: int) -> None:
        """Hold back the others because so many urgent messages came or wait on the bus."""
        self._turnstile.narrow(urgent)

    async def _send_next(self, channel: Channel, deadline: Deadline) -> None:
        line, route = self._lines[channel], self._routes[channel]
        if not line.has_urgent:
            await self._turnstile.go_through(channel)
        if (holding := line.next()) is None:
            return
        self._slots[channel].begin()
        pick = route.pick()
        if pick is None and route.legs:
            self._give_back(holding, _A_MOMENT, _NO_PASSAGE)
        else:
            await self._send(holding, pick, deadline)

    def pause(self, channel: Channel, paused: Collection[Priority]) -> None:
        """Return what is in line of these lanes, as ``give_back`` does."""
        self.give_back(self._lines[channel].take(paused), _PAUSED)

    def give_back(
        self, holdings: Sequence[Holding], because: Outcome = _SHUTDOWN
    ) -> None:
        """Return claims whose send has not begun: no attempt is spent."""
        for holding in holdings:
            self._slots[holding.lane.channel].begin()
            self._give_back(holding, _AT_ONCE, because)

    def _give_back(self, holding: Holding, rest: GiveBack, outcome: Outcome) -> None:
        self._settler.add(finish(holding, rest, outcome))
        self._slots[holding.lane.channel].sent()

    async def drain(self, seconds: float) -> None:
        """Return what is in line, and wait for the attempts under way.

        Those that take longer are cut off and given back.
        """
        for line in self._lines.values():
            self.give_back(line.take())
        self._turnstile.open()  # those that wait there have nothing to send any more
        under_way = set().union(*(crew.dismiss() for crew in self._crews.values()))
        if not under_way:
            return
        _, late = await asyncio.wait(under_way, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            log.warning("sends.cut_off", count=len(late))
            await asyncio.wait(late)

    async def _send(
        self, holding: Holding, pick: Pick | None, deadline: Deadline
    ) -> None:
        assert holding.claim is not None
        channel = holding.claim.channel
        try:
            outcome = await self._attempt(holding, holding.claim, pick, deadline)
        except asyncio.CancelledError:
            # Whether the provider accepted it is unknown. Its idempotency key makes the
            # next attempt safe, and a shutdown spends none.
            self._settle_unless_known(holding, _AT_ONCE, _SHUTDOWN)
            raise
        except Exception as error:  # noqa: BLE001 (a bug must not keep the notification)
            log_bug("send.failed", error, holding.claim)
            rest = GiveBack(self._policies[channel].ours_seconds)
            self._settle_unless_known(holding, rest, _BUG)
            return
        finally:
            self._slots[channel].sent()
        if outcome.kind is OutcomeClass.THROTTLED and pick is not None:
            await self._pacing.charge_for_throttling(channel, pick.name)

    def _settle_unless_known(
        self, holding: Holding, decision: GiveBack, outcome: Outcome
    ) -> None:
        if not holding.has_outcome:
            self._settler.add(finish(holding, decision, outcome))

    async def _attempt(
        self, holding: Holding, claim: Claim, pick: Pick | None, deadline: Deadline
    ) -> Outcome:
        """Send, decide, and hand the outcome over; after it is known nothing is awaited."""
        if not holding.is_leased or holding.is_expired:
            if pick is not None and pick.probe:
                pick.breaker.probe_lost()
            self._settler.add(finish(holding, _AT_ONCE, _TOO_LATE))
            return _TOO_LATE
        started_at = time.monotonic()
        outcome = (
            _NO_PROVIDER
            if pick is None
            else await self._call(pick.provider, claim, deadline)
        )
        ended_at = time.monotonic()
        duration = ended_at - started_at
        name = None if pick is None else pick.name
        if pick is not None:
            pick.breaker.record(
                ended_at,
                duration,
                failed=outcome.kind in COUNTS_AGAINST,
                slow=outcome.kind is OutcomeClass.THROTTLED
                or duration > pick.breaker.policy.slow_seconds,
                probe=pick.probe,
            )
        decision = retries.decide(
            self._policies[claim.channel],
            claim.attempt,
            outcome,
            holding.now(),
            self._rng,
        )
        self._settler.add(finish(holding, decision, outcome, name, duration))
        self._metrics.attempt_finished(
            holding.lane, outcome.kind, ended_at, duration, name
        )
        if outcome.kind is not OutcomeClass.DELIVERED:
            log.info(
                "attempt.finished",
                notification_id=str(claim.id),
                channel=claim.channel,
                priority=claim.priority,
                attempt=claim.attempts,
                outcome=outcome.kind,
                code=outcome.code,
                provider=name,
                decision=type(decision).__name__,
                duration_ms=round(duration * 1000),
            )
        return outcome

    async def _call(
        self, provider: Provider, claim: Claim, deadline: Deadline
    ) -> Outcome:
        """Make one attempt; never raises but for cancellation."""
        message = message_of(claim)
        try:
            outcome = await deadline.keep(
                provider.send(message), provider.timeout_seconds
            )
        except TimeoutError:
            return _TIMED_OUT
        except Exception as error:  # noqa: BLE001 (whatever a provider's bug raises)
            log_bug("provider.raised", error, claim)
            return Outcome(kind=OutcomeClass.OURS, code=type(error).__name__)
        return presentable(outcome, message)


def message_of(claim: Claim) -> OutboundMessage:
    """Return what a provider gets to see of a claim."""
    return OutboundMessage(
        notification_id=claim.id,
        channel=claim.channel,
        recipient=claim.recipient,
        content=claim.content,
        subject=claim.subject,
        attempt=claim.attempts,
        correlation_id=claim.correlation_id,
        traceparent=continue_trace(claim.traceparent) if claim.traceparent else None,
    )


def presentable(outcome: Outcome, message: OutboundMessage) -> Outcome:
    """Return the outcome in a form that may be kept: short, and free of personal data."""
    return msgspec.structs.replace(
        outcome,
        code=short(outcome.code) if outcome.code else None,
        words=short(redact(outcome.words, message)) if outcome.words else None,
        message_id=short(outcome.message_id) if outcome.message_id else None,
    )
