"""What every running service says of itself once a second on ``mesh.state.…``."""

from enum import StrEnum

import msgspec

from contracts.breakers import BreakerCondition
from contracts.channels import Channel, Priority
from contracts.messages import UtcTime


class ServiceCondition(StrEnum):
    """How far a service is in its life."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"  #: a dependency is away
    DRAINING = "draining"


class LaneReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lane as one service sees it; counters only ever rise while the process lives."""

    channel: Channel
    priority: Priority
    in_flight: int = 0
    attempts: int = 0
    delivered: int = 0
    retried: int = 0
    failed: int = 0
    paused: bool = False  #: by an operator
    latency_p95_seconds: float = 0.0  #: of the last minute's attempts; 0 without any


class ProviderReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One provider as one dispatcher sees it.

    ``sends``, ``failures`` and ``slow`` are of the breaker's window; ``attempts``, ``failed``
    and ``throttled`` only ever rise while the process lives.
    """

    name: str
    breaker: BreakerCondition = BreakerCondition.CLOSED
    revision: int = 0  #: of the breaker's shared state that the counts belong to
    forced: bool = False  #: held open by an operator
    sends: int = 0
    failures: int = 0
    slow: int = 0
    latency_p95_seconds: float = 0.0
    rate_limit: float = 0.0  #: per second, all dispatchers together; 0 is unlimited
    shares: dict[Channel, float] = {}  #: of each channel's traffic it gets, 0 to 1
    attempts: int = 0
    failed: int = 0  #: counted against it; refusals for good are answers
    throttled: int = 0  #: answered "too many"


class JobOutcome(StrEnum):
    """How one run of a job ended."""

    FINISHED = "finished"
    FAILED = "failed"


class JobReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the scheduler's jobs, told by the process that holds it."""

    name: str
    period_seconds: float
    next_at: UtcTime | None = None
    started_at: UtcTime | None = None  #: of the last run
    duration_seconds: float = 0.0
    outcome: JobOutcome | None = None  #: None before the first run
    scanned: int = 0
    repaired: int = 0
    why: dict[str, int] = {}  #: repairs by their reason
    error: str = ""  #: what a failed run ran into
    strip: str = (
        ""  #: the last runs, oldest first: "." finished, "+" repaired, "!" failed
    )


class ServiceState(
    msgspec.Struct, frozen=True, kw_only=True, tag="service.state.v1", tag_field="type"
):
    """The state of one process. Latest wins; its age is the heartbeat."""

    service: str
    instance: str
    version: str
    condition: ServiceCondition
    pid: int
    at: UtcTime
    started_at: UtcTime
    rss_bytes: int
    lag_seconds: float = 0.0  #: how late this process came to its last report
    settings_hash: str = ""
    """Alike in processes of one service that were configured alike."""
    dependencies: dict[str, str]  #: name → "ok", or what is wrong in a few words
    lanes: list[LaneReading] = []
    limits: dict[Channel, float] = {}
    """What each channel may send per second, all dispatchers together; absent: unlimited."""
    tokens_per_second: dict[Channel, float] = {}
    """What this process took of each limit lately."""
    throttled_seconds: dict[Channel, float] = {}
    """How long each channel had work and no token, since the process began."""
    providers: list[ProviderReading] = []
    jobs: list[JobReading] = []
    gauges: dict[str, float] = {}  #: further numbers, named with their unit
