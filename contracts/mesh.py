"""What every running service says of itself once a second on ``mesh.state.…``."""

from enum import StrEnum

import msgspec

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
    dependencies: dict[str, str]  #: name → "ok", or what is wrong in a few words
    lanes: list[LaneReading] = []
    limits: dict[Channel, float] = {}
    """What each channel may send per second, all dispatchers together; absent: unlimited."""
    gauges: dict[str, float] = {}  #: further numbers, named with their unit
