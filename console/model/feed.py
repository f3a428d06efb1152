"""The feed: the newest lines, with floods of the same folded into one."""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from console.model.views import FeedLine, Tone
from contracts.channels import LANES
from contracts.lifecycle import Status
from contracts.messages import OperatorActed, StatusChanged

FOLD_SECONDS = 1.0
#: So many lines of one kind are shown in a second; more are counted on the last of them.
FOLD_AFTER = 3


@dataclass
class _Run:
    started_at: float
    count: int
    last: FeedLine


class Feed:
    """A bounded list of lines, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.lines: deque[FeedLine] = deque(maxlen=capacity)
        self._runs: dict[Hashable, _Run] = {}
        self._swept_at = 0.0

    def add(self, now: float, line: FeedLine, kind: Hashable = None) -> None:
        """Append a line, or count it on an earlier one of its kind; no kind: never folds."""
        if kind is None:
            self.lines.append(line)
            return
        run = self._runs.get(kind)
        if run is None or not 0 <= now - run.started_at < FOLD_SECONDS:
            self._sweep(now)
            self._runs[kind] = _Run(now, 1, line)
            self.lines.append(line)
            return
        run.count += 1
        if run.count <= FOLD_AFTER:
            run.last = line
            self.lines.append(line)
        else:
            run.last.similar += 1

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < 10 * FOLD_SECONDS:
            return
        self._swept_at = now
        self._runs = {
            kind: run
            for kind, run in self._runs.items()
            if 0 <= now - run.started_at < FOLD_SECONDS
        }


_TONES = {
    Status.DELIVERED: Tone.GOOD,
    Status.RETRYING: Tone.WARN,
    Status.FAILED: Tone.BAD,
    Status.CANCELLED: Tone.NOTE,
    Status.QUEUED: Tone.QUIET,
    Status.PENDING: Tone.QUIET,
    Status.PROCESSING: Tone.QUIET,
}

#: What the first screen tells of; the rest is the mesh at work.
NOTABLE = frozenset({Status.RETRYING, Status.FAILED, Status.CANCELLED})


def line_of(serial: int, change: StatusChanged) -> FeedLine:
    """Write a status change as a line."""
    return FeedLine(
        serial=serial,
        at=change.at.timestamp(),
        tone=_TONES[change.status],
        what=change.status.value,
        lane=f"{change.channel}/{change.priority}",
        subject=str(change.notification_id),
        words=_words(change),
        change=change,
    )


_LANES = {f"{lane.channel}.{lane.priority}": str(lane) for lane in LANES}


def line_of_act(serial: int, acted: OperatorActed) -> FeedLine:
    """Write what an operator did as a line."""
    lane = _LANES.get(acted.target, "")
    said = f": {acted.reason}" if acted.reason else ""
    return FeedLine(
        serial=serial,
        at=acted.at.timestamp(),
        tone=Tone.NOTE,
        what=f"operator.{acted.action}",
        lane=lane,
        subject="" if lane else acted.target,
        words=f"{acted.who}{said}",
    )


def kind_of(change: StatusChanged) -> Hashable:
    """Return what makes two changes similar."""
    return (
        change.status,
        change.channel,
        change.priority,
        change.failure_class,
        change.provider,
    )


def _words(change: StatusChanged) -> str:
    parts = []
    if change.failure_class is not None:
        parts.append(change.failure_class.value)
    if change.attempts > 1 or change.failure_class is not None:
        parts.append(f"attempt {change.attempts}")
    if change.provider:
        parts.append(change.provider)
    return "  ".join(parts)
