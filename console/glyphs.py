"""The signs beside the words, in Unicode or in plain ASCII. All are one column wide."""

from dataclasses import dataclass

from console.model.views import (
    JobHealth,
    LaneHealth,
    ProviderHealth,
    ServiceHealth,
    Tone,
)
from contracts.channels import Priority


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """One set of signs."""

    bars: str
    """From nothing to full, nine steps."""
    gap: str
    dot: str
    ring: str
    half: str
    cross: str
    alarm: str
    pause: str
    up: str
    down: str
    ellipsis: str
    between: str
    wall: str
    """The axis of a chart."""
    step: str
    """Between the parts of a path."""
    opened: str
    closed: str

    def tone(self, tone: Tone) -> str:
        """Return the sign of a line of the feed."""
        return {
            Tone.GOOD: self.dot,
            Tone.PLAIN: self.ring,
            Tone.QUIET: self.between,
            Tone.WARN: self.alarm,
            Tone.BAD: self.cross,
            Tone.NOTE: self.ring,
        }[tone]

    def lane(self, health: LaneHealth) -> str:
        """Return the sign of a lane."""
        return {
            LaneHealth.UNSERVED: self.cross,
            LaneHealth.STALLED: self.cross,
            LaneHealth.FAILING: self.cross,
            LaneHealth.PAUSED: self.pause,
            LaneHealth.AT_LIMIT: self.alarm,
            LaneHealth.WAITING: self.half,
            LaneHealth.FLOWING: self.dot,
            LaneHealth.IDLE: self.ring,
            LaneHealth.UNKNOWN: "?",
        }[health]

    def service(self, health: ServiceHealth) -> str:
        """Return the sign of a service."""
        return {
            ServiceHealth.LOST: self.cross,
            ServiceHealth.ABSENT: self.cross,
            ServiceHealth.UNREADY: self.cross,
            ServiceHealth.STARTING: self.half,
            ServiceHealth.DRAINING: self.half,
            ServiceHealth.READY: self.dot,
            ServiceHealth.STOPPED: self.ring,
            ServiceHealth.GONE: self.ring,
            ServiceHealth.UNKNOWN: "?",
        }[health]

    def provider(self, health: ProviderHealth) -> str:
        """Return the sign of a provider's breaker."""
        return {
            ProviderHealth.OPEN: self.cross,
            ProviderHealth.HELD: self.pause,
            ProviderHealth.HALF_OPEN: self.half,
            ProviderHealth.UNKNOWN: "?",
            ProviderHealth.CLOSED: self.dot,
        }[health]

    def job(self, health: JobHealth) -> str:
        """Return the sign of a job."""
        return {
            JobHealth.UNHELD: self.cross,
            JobHealth.FAILED: self.cross,
            JobHealth.OVERDUE: self.alarm,
            JobHealth.WAITING: self.ring,
            JobHealth.RAN: self.dot,
            JobHealth.UNKNOWN: "?",
        }[health]

    def priority(self, priority: Priority) -> str:
        """Return the sign of a priority."""
        return {
            Priority.HIGH: self.up,
            Priority.NORMAL: " ",
            Priority.LOW: self.down,
        }[priority]

    def bar(self, value: float | None, top: float) -> str:
        """Return one column of a trend: a gap is not a zero, and little is not nothing."""
        if value is None:
            return self.gap
        if value <= 0 or top <= 0:
            return self.bars[0]
        steps = len(self.bars) - 1
        return self.bars[max(1, min(steps, round(value / top * steps)))]


UNICODE = Glyphs(
    bars=" ▁▂▃▄▅▆▇█",
    gap="·",
    dot="●",
    ring="○",
    half="◐",
    cross="✕",
    alarm="▲",
    pause="■",
    up="↑",
    down="↓",
    ellipsis="…",
    between="·",
    wall="│",
    step="›",  # noqa: RUF001
    opened="▾",
    closed="▸",
)

ASCII = Glyphs(
    bars=" ..::++##",
    gap="?",
    dot="*",
    ring="o",
    half="~",
    cross="x",
    alarm="!",
    pause="=",
    up="^",
    down="v",
    ellipsis="~",
    between="-",
    wall="|",
    step=">",
    opened="-",
    closed="+",
)
