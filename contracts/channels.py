"""Channels, priorities, and the lanes they make together."""

from enum import StrEnum
from typing import NamedTuple


class Channel(StrEnum):
    """The medium a notification travels by."""

    SMS = "sms"
    EMAIL = "email"
    PUSH = "push"


class Priority(StrEnum):
    """How urgent a notification is; members are in order of urgency."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Lane(NamedTuple):
    """One channel at one priority: the unit that is queued, pulled and paused."""

    channel: Channel
    priority: Priority

    def __str__(self) -> str:
        return f"{self.channel}/{self.priority}"


LANES = tuple(Lane(channel, priority) for channel in Channel for priority in Priority)
