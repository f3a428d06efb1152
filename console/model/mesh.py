"""Everything the console knows, brought up to date event by event. Knows no terminal."""

from collections import deque
from collections.abc import Hashable, Sequence

import msgspec

from console.events import (
    AnyEvent,
    BacklogRead,
    BreakerHeard,
    ControlHeard,
    EventsDropped,
    LinkAnswered,
    LinkChanged,
    OperatorReported,
    ServiceReported,
    StatusReported,
)
from console.model.actions import ActionLog
from console.model.controls import ControlBook
from console.model.counters import Counters
from console.model.feed import NOTABLE, Feed, kind_of, line_of, line_of_act
from console.model.jobs import JobBook
from console.model.lanes import (
    FAILING_SECONDS,
    LAG_SECONDS,
    SHORT_LEAST_SECONDS,
    SHORT_SECONDS,
    Around,
    LaneMeter,
)
from console.model.link import Link
from console.model.providers import ProviderBook
from console.model.rings import SecondsRing
from console.model.services import SILENT_SECONDS, ServiceBook, Turn
from console.model.totals import DeadLetterCount, sum_up
from console.model.views import (
    ChannelView,
    FeedLine,
    Flow,
    ProviderFlow,
    ProviderHealth,
    ProviderView,
    RunView,
    ServiceHealth,
    Snapshot,
    Tone,
)
from contracts.channels import LANES, Channel, Lane
from contracts.mesh import ServiceState
from contracts.messages import OperatorActed, StatusChanged

FEED_LINES = 2_000
NOTABLE_LINES = 500


class Model:
    """The state of the console. ``apply`` takes news, ``snapshot`` gives what to draw.

    Nothing is ever cleared because a connection was lost: the last numbers stay, and
    ``LinkView`` says how old they are.
    """

    def __init__(self) -> None:
        self.dirty = True
        """Whether there was news since somebody last set this to False."""
        self.notices: deque[str] = deque(maxlen=10)
        """Sentences to show the operator once."""
        self.actions = ActionLog()
        """What operators did."""
        self._controls = ControlBook()
        self._meters = {lane: LaneMeter(lane) for lane in LANES}
        self._counters = Counters()
        self._services = ServiceBook()
        self._providers = ProviderBook()
        self._jobs = JobBook()
        self._throttled = {c: SecondsRing(FAILING_SECONDS + 10) for c in Channel}
        self._feed = Feed(FEED_LINES)
        self._notable = Feed(NOTABLE_LINES)
        self._dead_letters = DeadLetterCount()
        self._link = Link()
        self._serial = 0
        self._dropped = 0
        self._unreadable = 0

    def apply(self, event: AnyEvent, now: float) -> None:
        """Take one event, received at ``now``."""
        self.dirty = True
        match event:
            case StatusReported(change=change):
                self._status(now, change)
            case ServiceReported(state=state):
                self._report(now, state)
            case BreakerHeard(provider=provider, state=agreed, revision=revision):
                self._providers.agreed(provider, agreed, revision)
            case BacklogRead():
                self._backlog(now, event)
            case OperatorReported(acted=acted):
                self._acted(acted)
            case ControlHeard(key=key, control=control):
                self._controls.hear(key, control)
            case LinkAnswered(seconds=seconds):
                self._link.answered(seconds)
            case EventsDropped(slow=slow, unreadable=unreadable):
                self._dropped += slow
                self._unreadable += unreadable
            case LinkChanged():
                self._link_changed(now, event)
                return
        self._link.heard(now)

    def tick(self, now: float) -> None:
        """Notice what only the passing of time tells: who went silent."""
        for turn in self._services.tick(now, self._link.hears_until(now)):
            self.dirty = True
            self._note_turn(now, turn)
        self._counters.keep_only(self._services.names())
        self._providers.keep_only(self._services.spoken())
        self._jobs.forget(now)

    def snapshot(self, now: float) -> Snapshot:
        """Draw everything as of ``now``, or as of the last news when that is stale."""
        moment = self._link.as_of(now)
        served = self._services.served()
        providers = self._providers.views(moment, self._services.spoken())
        breakers = _breakers(providers)
        channels = self._channels(moment)
        shares = {
            view.channel: view.rate / view.limit
            for view in channels
            if view.rate is not None and view.limit
        }
        since = self._link.listening_since
        heard_all = since is None or moment - since > SILENT_SECONDS
        lanes = tuple(
            meter.view(
                moment,
                Around(
                    served.get(lane),
                    heard_all,
                    shares.get(lane.channel, 0.0),
                    limited=lane.channel in shares,
                    short_of_tokens=self._is_short(lane.channel, moment),
                    breakers=breakers[lane.channel],
                ),
            )
            for lane, meter in self._meters.items()
        )
        return Snapshot(
            at=now,
            link=self._link.view(now),
            dependencies=self._services.dependencies(),
            totals=sum_up(
                lanes,
                (meter.outcomes(moment) for meter in self._meters.values()),
                self._dead_letters,
                now,
            ),
            lanes=lanes,
            channels=channels,
            services=self._services.views(now),
            providers=providers,
            jobs=self._jobs.views(
                moment, self._services.live(), cut_off=self._services.cut_off
            ),
            runs=self._jobs.runs(),
            feed=tuple(self._feed.lines),
            notable=tuple(self._notable.lines),
            controls=self._controls.view(),
            actions=self.actions.views(),
            dropped=self._dropped,
            unreadable=self._unreadable,
        )

    def flow(self, lane: Lane, at: float) -> Flow:
        """Return the last minutes of one lane as of a snapshot's moment."""
        return self._meters[lane].flow(self._link.as_of(at))

    def provider_flow(self, provider: str, at: float) -> ProviderFlow:
        """Return a provider's last quarter of an hour as of a snapshot's moment."""
        return self._providers.flow(provider, self._link.as_of(at))

    def runs_of(self, job: str) -> Sequence[RunView]:
        """Return all runs the console heard of one job, newest first."""
        return self._jobs.runs_of(job)

    def _channels(self, moment: float) -> tuple[ChannelView, ...]:
        limits = self._services.limits()
        rates: dict[Channel, float] = {}
        for lane, meter in self._meters.items():
            rate = meter.rate(moment)
            if rate is not None:
                rates[lane.channel] = rates.get(lane.channel, 0.0) + rate
        return tuple(
            ChannelView(
                channel=c,
                rate=rates.get(c),
                limit=limits.get(c),
                throttled_share=self._throttled_share(c, moment),
            )
            for c in Channel
        )

    def _throttled_share(self, channel: Channel, moment: float) -> float | None:
        end = moment - LAG_SECONDS + 1
        waited = self._throttled[channel].mean(end, FAILING_SECONDS)
        return None if waited is None else min(1.0, waited)

    def _is_short(self, channel: Channel, moment: float) -> bool:
        """Say whether a channel lacks tokens by the newest reports, complete or not.

        The rate tells the same, but only once it has been the limit's for seconds.
        """
        waited = self._throttled[channel].total(moment + 1, SHORT_SECONDS)
        return (waited or 0.0) >= SHORT_LEAST_SECONDS

    def _status(self, now: float, change: StatusChanged) -> None:
        self._link.count_status()
        self._add(now, line_of(self._next(), change), kind_of(change))
        if change.status in NOTABLE and change.failure_class is not None:
            lane = Lane(change.channel, change.priority)
            self._meters[lane].failed(now, change.failure_class)

    def _report(self, now: float, state: ServiceState) -> None:
        turn = self._services.report(now, state)
        if turn is not None:
            self._note_turn(now, turn)
        since = self._link.listening_since
        listening = 0.0 if since is None else now - since
        self._providers.said(now, state.providers)
        self._jobs.report(now, state)
        added = self._counters.amounts(state, listening)
        if not added.span:
            return
        for lane, amount in added.lanes.items():
            self._meters[lane].settled(now, added.span, amount)
        self._providers.settled(now, added.span, added.providers.values())
        for channel, seconds in added.throttled_seconds.items():
            self._throttled[channel].spread(now - added.span, now, seconds)

    def _backlog(self, now: float, event: BacklogRead) -> None:
        back = self._link.backlog(event)
        if back:
            self.notices.append(back)
            self._note(now, Tone.NOTE, "link", back)
        if event.problem and not event.lanes:
            return
        said = {Lane(b.channel, b.priority): b for b in event.lanes}
        for lane, meter in self._meters.items():
            meter.backlog(now, said.get(lane))
        if event.dead_letters is not None:
            self._dead_letters.take(now, event.dead_letters)

    def _link_changed(self, now: float, event: LinkChanged) -> None:
        lost = self._link.change(now, event)
        self._services.listen(self._link.listening_since)
        if lost:
            self._note(now, Tone.BAD, "link", lost)

    def _note_turn(self, now: float, turn: Turn) -> None:
        view = turn.view
        what = "restarted" if turn.restarted else str(view.health)
        words = "" if turn.before is None else f"was {turn.before}"
        if view.health is ServiceHealth.UNREADY:
            words = "; ".join(
                f"{name}: {said}"
                for name, said in view.dependencies.items()
                if said != "ok"
            )
        self._note(
            now,
            turn.tone,
            what,
            words,
            subject=f"{view.service} {view.instance}",
        )

    def _note(
        self, now: float, tone: Tone, what: str, words: str, subject: str = ""
    ) -> None:
        line = FeedLine(
            serial=self._next(),
            at=now,
            tone=tone,
            what=what,
            subject=subject,
            words=words,
        )
        self._feed.add(now, line)
        self._notable.add(now, line)

    def _acted(self, acted: OperatorActed) -> None:
        self.actions.heard(acted)
        at = acted.at.timestamp()
        self._feed.add(at, line_of_act(self._next(), acted))
        self._notable.add(at, line_of_act(self._next(), acted))

    def _add(self, now: float, line: FeedLine, kind: Hashable) -> None:
        self._feed.add(now, line, kind)
        if line.change is not None and line.change.status in NOTABLE:
            # its own copy: each feed counts its own similar lines
            self._notable.add(now, msgspec.structs.replace(line), kind)

    def _next(self) -> int:
        self._serial += 1
        return self._serial


def _breakers(
    providers: Sequence[ProviderView],
) -> dict[Channel, list[ProviderHealth]]:
    """Return the breakers of each channel's providers."""
    return {
        channel: [view.health for view in providers if channel in view.shares]
        for channel in Channel
    }
