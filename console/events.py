"""What a source tells the model: structs that are also the lines of a recording.

Times are POSIX seconds: the console compares many of them many times a second.
"""

from enum import StrEnum

import msgspec

from contracts.breakers import BreakerState
from contracts.channels import Channel, Priority
from contracts.controls import AnyControl
from contracts.mesh import ServiceState
from contracts.messages import OperatorActed, StatusChanged


class LinkCondition(StrEnum):
    """How the console stands with the bus."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RETRYING = "retrying"
    ENDED = "ended"  #: a recording has no more to tell


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something a source has seen."""


class LinkChanged(Event, frozen=True, tag="link.changed"):
    """The connection was made, lost, or tried again in vain."""

    condition: LinkCondition
    attempt: int = 0
    retry_in_seconds: float = 0.0
    reason: str = ""


class LinkAnswered(Event, frozen=True, tag="link.answered"):
    """The bus answered a ping."""

    seconds: float


class ServiceReported(Event, frozen=True, tag="service.reported"):
    """A service said how it is."""

    state: ServiceState


class StatusReported(Event, frozen=True, tag="status.reported"):
    """A notification has a new status."""

    change: StatusChanged


class LaneBacklog(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the bus holds for one lane."""

    channel: Channel
    priority: Priority
    queued: int  #: not yet given to a dispatcher
    unacked: int  #: given to a dispatcher and not settled; waiting for a retry included
    oldest_at: float | None = None  #: when its oldest unfinished message was stored


class BacklogRead(Event, frozen=True, tag="backlog.read"):
    """The bus said how much waits; ``problem`` says in words what it would not say."""

    lanes: list[LaneBacklog] = []
    dead_letters: int | None = None
    status_sequence: int | None = None  #: of the newest status event the bus has stored
    problem: str = ""


class OperatorReported(Event, frozen=True, tag="operator.reported"):
    """An operator changed something, and it is done."""

    acted: OperatorActed


class ControlHeard(Event, frozen=True, tag="control.heard"):
    """An operator's control stands; None when it was taken back."""

    key: str
    control: AnyControl | None


class BreakerHeard(Event, frozen=True, tag="breaker.heard"):
    """The dispatchers agreed on a provider's breaker; None when they forgot it."""

    provider: str
    state: BreakerState | None
    revision: int


class EventsDropped(Event, frozen=True, tag="events.dropped"):
    """Events that came and could not be shown."""

    slow: int = 0  #: came faster than the console took them
    unreadable: int = 0  #: in a form this version does not know


AnyEvent = (
    LinkChanged
    | LinkAnswered
    | ServiceReported
    | StatusReported
    | BacklogRead
    | OperatorReported
    | ControlHeard
    | BreakerHeard
    | EventsDropped
)
