"""What the screens draw: plain values of one moment, ready for JSON."""

from enum import StrEnum
from uuid import UUID

import msgspec

from console.events import LinkCondition
from contracts.channels import Channel, Priority
from contracts.mesh import JobOutcome, LaneReading, ProviderReading
from contracts.messages import StatusChanged
from contracts.outcomes import FailureClass


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what is drawn."""


class LaneHealth(StrEnum):
    """What a lane is doing, in one word. Members are in order of trouble, worst first."""

    UNSERVED = "unserved"  #: no dispatcher takes this lane
    STALLED = "stalled"  #: work waits and nothing was settled for a while
    FAILING = "failing"  #: many of the recent attempts failed
    PAUSED = "paused"  #: an operator holds it
    AT_LIMIT = "at limit"  #: work waits because the channel sends as fast as it may
    WAITING = (
        "waiting"  #: nothing settled lately; what there is waits for its next attempt
    )
    FLOWING = "flowing"  #: attempts succeed
    IDLE = "idle"  #: nothing to do
    UNKNOWN = "unknown"  #: the bus has not said


LANE_TROUBLES = frozenset({LaneHealth.UNSERVED, LaneHealth.STALLED, LaneHealth.FAILING})


class ProviderHealth(StrEnum):
    """How a provider's breaker is, in one word. Members are in order of trouble, worst first."""

    OPEN = "open"  #: nothing is sent to it
    HELD = "held open"  #: an operator keeps it open
    HALF_OPEN = "half-open"  #: one notification tries it
    UNKNOWN = "unknown"  #: no dispatcher that is heard speaks for it
    CLOSED = "closed"  #: it is sent to


PROVIDER_TROUBLES = frozenset(
    {ProviderHealth.OPEN, ProviderHealth.HELD, ProviderHealth.HALF_OPEN}
)


class LaneView(View, frozen=True):
    """One lane. None stands for what nobody has said."""

    channel: Channel
    priority: Priority
    health: LaneHealth
    queued: int | None
    unacked: int | None
    in_flight: int | None
    rate: float | None
    """Attempts settled per second, over the last few seconds."""
    failing: float | None
    """Share of the attempts of the last minute that failed, 0 to 1."""
    oldest_seconds: float | None
    """Age of the oldest unfinished message."""
    trend: tuple[float | None, ...]
    """Attempts settled in each of the last 60 seconds; None where nobody reported."""
    failures: dict[FailureClass, int]
    """Failures of the last five minutes by class, as far as the console saw them."""
    latency_p95_seconds: float | None = None
    """Of the last minute's attempts, at the slowest dispatcher."""
    limit_share: float | None = None
    """How much of its limit the lane's channel sends, 0 to 1; None without a limit."""
    breaker: ProviderHealth | None = None
    """The worst breaker among the providers of the lane's channel."""
    breakers_shut: int = 0
    providers: int = 0
    """How many providers the channel has, of which ``breakers_shut`` are not sent to."""

    @property
    def key(self) -> str:
        """The lane's name, for example ``sms/high``."""
        return f"{self.channel}/{self.priority}"


class ChannelView(View, frozen=True):
    """What a channel may send, and how much of it it does."""

    channel: Channel
    rate: float | None
    limit: float | None
    throttled_share: float | None = None
    """How much of the last minute it had work and no token, 0 to 1; None where nobody
    reported."""


class Flow(View, frozen=True):
    """Attempts settled per second over the last minutes, oldest first."""

    delivered: tuple[float | None, ...] = ()
    failed: tuple[float | None, ...] = ()
    queued: tuple[float | None, ...] = ()


class TotalsView(View, frozen=True):
    """The nine lanes together."""

    queued: int | None
    in_flight: int | None
    rate: float | None
    failing: float | None
    oldest_seconds: float | None
    dead_letters: int | None
    dead_letters_new: int
    """How many dead letters came in the last five minutes."""


class ServiceHealth(StrEnum):
    """How a service is, as far as the console can tell; worst first."""

    LOST = "lost"  #: went silent without a goodbye
    ABSENT = "absent"  #: a service every mesh has, and none was heard
    UNREADY = "unready"  #: a dependency is away
    STARTING = "starting"
    DRAINING = "draining"
    READY = "ready"
    STOPPED = "stopped"  #: said goodbye
    GONE = "gone"  #: lost so long ago that others have taken its place
    UNKNOWN = "unknown"  #: the console itself is cut off


SERVICE_TROUBLES = frozenset(
    {ServiceHealth.LOST, ServiceHealth.ABSENT, ServiceHealth.UNREADY}
)


class ServiceView(View, frozen=True):
    """One process of the mesh, or the place of one that should be there."""

    service: str
    instance: str
    health: ServiceHealth
    version: str = ""
    odd_version: bool = False
    """Other live processes run a newer version."""
    pid: int | None = None
    heard_seconds: float | None = None
    late: bool = False
    """Its report is overdue; not yet for so long that it counts as lost."""
    up_seconds: float | None = None
    in_flight: int | None = None
    rss_bytes: int | None = None
    dependencies: dict[str, str] = {}
    gauges: dict[str, float] = {}
    lanes: tuple[LaneReading, ...] = ()
    lag_seconds: float | None = None
    """How late the process came to its last report: it was busy with something else."""
    settings_hash: str = ""
    odd_settings: bool = False
    """The newest live process of this service is configured otherwise."""

    @property
    def key(self) -> str:
        """A name that no other row has."""
        return f"{self.service}/{self.instance}"


class ProviderSaid(View, frozen=True):
    """What one dispatcher says of a provider."""

    instance: str
    reading: ProviderReading


class ProviderView(View, frozen=True):
    """One provider, all dispatchers together. None stands for what nobody has said."""

    name: str
    health: ProviderHealth
    since_seconds: float | None
    """Age of the last change of the breaker; None when it never changed."""
    next_probe_seconds: float | None
    """Until it is tried again; None unless it waits for that."""
    openings: int
    """How often it opened since its last success."""
    sends: int
    failures: int
    slow: int
    """Of the breaker's window, like ``sends`` and ``failures``."""
    shares: dict[Channel, float]
    """Of each channel's traffic, 0 to 1."""
    rate: float | None
    """Attempts per second, over the last few seconds."""
    limit: float | None
    """What it may get per second; None is unlimited."""
    failing: float | None
    """Share of the attempts of the last minute that counted against it, 0 to 1."""
    throttled: int
    """How many attempts of the last minute it answered "too many"."""
    latency_p95_seconds: float | None
    """Of the breaker's window, at the slowest dispatcher."""
    heard_seconds: float
    said: tuple[ProviderSaid, ...]

    @property
    def key(self) -> str:
        """The provider's name."""
        return self.name


class ProviderFlow(View, frozen=True):
    """A provider's last quarter of an hour, second by second, oldest first."""

    until: int = 0
    """The second after the last one, in POSIX seconds."""
    latency_p95_seconds: tuple[float | None, ...] = ()
    accepted: tuple[float | None, ...] = ()
    failed: tuple[float | None, ...] = ()


class JobHealth(StrEnum):
    """How a job of the scheduler is, in one word. Members are in order of trouble."""

    UNHELD = "unheld"  #: the process that had it is silent, and no other has it
    FAILED = "failed"  #: its last run failed
    OVERDUE = "overdue"  #: it should have run by now
    WAITING = "waiting"  #: it has not run yet
    RAN = "ran"  #: its last run finished
    UNKNOWN = "unknown"  #: the console itself is cut off


JOB_TROUBLES = frozenset({JobHealth.UNHELD, JobHealth.FAILED, JobHealth.OVERDUE})


class JobView(View, frozen=True):
    """One job. None stands for what nobody has said."""

    name: str
    health: JobHealth
    holder: str
    period_seconds: float
    next_seconds: float | None
    """Until it runs again; negative when it should have."""
    last_seconds: float | None
    """Age of its last run."""
    duration_seconds: float | None
    outcome: JobOutcome | None
    scanned: int
    repaired: int
    why: dict[str, int]
    error: str
    strip: str
    """The last runs, oldest first: "." finished, "+" repaired, "!" failed."""

    @property
    def key(self) -> str:
        """The job's name."""
        return self.name

    @property
    def words(self) -> str:
        """What the last run did, or ran into."""
        return self.error or in_words(self.why)


class RunView(View, frozen=True):
    """One run of a job, as the console heard of it."""

    name: str
    holder: str
    started_at: float
    duration_seconds: float
    outcome: JobOutcome
    scanned: int
    repaired: int
    why: dict[str, int]
    error: str

    @property
    def key(self) -> str:
        """The job and when it ran."""
        return f"{self.name}@{self.started_at:.3f}"

    @property
    def health(self) -> JobHealth:
        """How it ended."""
        failed = self.outcome is JobOutcome.FAILED
        return JobHealth.FAILED if failed else JobHealth.RAN

    @property
    def words(self) -> str:
        """What it did, or ran into."""
        return self.error or in_words(self.why)


def in_words(why: dict[str, int]) -> str:
    """Say how much was repaired for which reason, the most frequent first."""
    most_first = sorted(why.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name}" for name, count in most_first)


class Tone(StrEnum):
    """How a line wants to be seen; a theme gives it a colour, a glyph goes with it."""

    GOOD = "good"
    PLAIN = "plain"
    QUIET = "quiet"
    WARN = "warn"
    BAD = "bad"
    NOTE = "note"


class FeedLine(msgspec.Struct, kw_only=True):
    """One line of the feed; ``similar`` more like it came within the same second."""

    serial: int
    at: float
    tone: Tone
    what: str
    lane: str = ""
    subject: str = ""
    words: str = ""
    change: StatusChanged | None = None
    similar: int = 0


class PauseView(View, frozen=True):
    """What holds a lane back."""

    target: str
    """The lane, or its whole channel, as the audit names it."""
    by: str
    at: float
    reason: str


class LimitView(View, frozen=True):
    """What an operator lets a channel or a provider send; 0 is unlimited."""

    per_second: float
    by: str
    at: float
    reason: str


class ControlsView(View, frozen=True):
    """What operators ordered that still stands."""

    pauses: dict[str, PauseView] = {}
    """By lane, such as ``sms/low``."""
    limits: dict[str, LimitView] = {}
    """By target, such as ``channel.sms``."""


class ActionState(StrEnum):
    """What became of something an operator did."""

    PENDING = "pending"  #: accepted, and the mesh has not said that it is done
    DONE = "done"
    FAILED = "failed"  #: refused, or without effect
    STOPPED = "stopped"  #: an operation that was ended before it was done
    UNKNOWN = "unknown"  #: no answer came


class ActionView(View, frozen=True):
    """Something an operator did, here or elsewhere."""

    serial: int
    at: float
    who: str
    action: str
    target: str
    reason: str
    state: ActionState
    words: str
    id: UUID | None
    """Of its entry in the audit."""
    operation: UUID | None
    """What it began, which goes on by itself."""
    running: bool
    """Whether its operation goes on, as far as one knows."""


class LinkView(View, frozen=True):
    """The console's own connection."""

    condition: LinkCondition
    age_seconds: float | None
    """How old the newest news is; None before the first."""
    stale: bool
    attempt: int
    retry_in_seconds: float
    reason: str
    answer_seconds: float | None
    problem: str


class Snapshot(View, frozen=True):
    """Everything at one moment."""

    at: float
    link: LinkView
    dependencies: dict[str, str]
    """What the services say of their servers: "ok", or what is wrong and for how many."""
    totals: TotalsView
    lanes: tuple[LaneView, ...]
    channels: tuple[ChannelView, ...]
    services: tuple[ServiceView, ...]
    providers: tuple[ProviderView, ...]
    jobs: tuple[JobView, ...]
    runs: tuple[RunView, ...]
    """The runs of jobs that the console heard of, newest first."""
    feed: tuple[FeedLine, ...]
    notable: tuple[FeedLine, ...]
    controls: ControlsView
    actions: tuple[ActionView, ...]
    dropped: int
    unreadable: int
