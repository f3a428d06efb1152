"""The columns of a trace, and of the notifications to choose one from."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeVar

from console import formats
from console.glyphs import Glyphs
from console.operator import Found, Trace
from console.picture import Cell
from console.widgets.keyed_table import Column
from contracts.lifecycle import FINAL, Status
from ops import timeline
from ops.client import TraceEntry

WIDE_COLUMNS = 100
_BAR_CELLS = 16
_PADDING = 2
#: From this part of the whole on it is worth saying what a wait was for.
_NOTABLE_SHARE = 0.025

STATUS_INKS = {
    Status.DELIVERED: "good",
    Status.FAILED: "bad",
    Status.RETRYING: "warn",
    Status.CANCELLED: "note",
    "now": "note",
}

_Row = TypeVar("_Row")


class Step(NamedTuple):
    """One thing that happened, or that it still waits."""

    number: int
    line: timeline.Line
    entry: TraceEntry | None  #: None for the waiting until now


def steps(trace: Trace, status: str, now: datetime) -> list[Step]:
    """Put a trace into steps; the last one is the present, unless nothing follows."""
    entries: list[TraceEntry | None] = [*trace.entries]
    lines = timeline.lines(trace)
    waits = None if status in FINAL else timeline.waiting(trace, now)
    if waits is not None:
        lines.append(waits)
        entries.append(None)
    return [
        Step(number, line, entry)
        for number, (line, entry) in enumerate(zip(lines, entries, strict=True))
    ]


def step_columns(glyphs: Glyphs, width: int) -> list[Column[Step]]:
    """Return the columns of a trace; the last takes what is left of the width."""
    bar: list[Column[Step]] = [] if width < WIDE_COLUMNS else [_bar(glyphs)]
    columns: list[Column[Step]] = [
        _column("at", 12, lambda step: Cell(time_of(step.line.at), "quiet")),
        _column("what", 12, lambda step: Cell(step.line.event, ink_of(step))),
        _column("after", 10, _gap, right=True),
        *bar,
    ]
    taken = sum(column.width + _PADDING for column in columns)
    rest = max(20, width - taken - _PADDING)
    return [*columns, _column("how", rest, lambda step: Cell(_words(step)))]


def found_columns(width: int) -> list[Column[Found]]:
    """Return the columns of what was found."""
    wide = width >= WIDE_COLUMNS
    columns: list[Column[Found]] = [
        _column("id", 36, lambda one: Cell(str(one.id), "strong")),
        _column("lane", 12, lambda one: Cell(f"{one.channel}/{one.priority}")),
        _column(
            "status",
            10,
            lambda one: Cell(one.status, STATUS_INKS.get(one.status, "plain")),
        ),
        _column("created", 12, lambda one: Cell(time_of(one.created_at), "quiet")),
        _column("to", 30, lambda one: Cell(one.recipient)),
    ]
    return columns if wide else columns[:4]


def time_of(moment: datetime) -> str:
    """Write the UTC time of day, to the millisecond."""
    return formats.clock(moment.timestamp(), milliseconds=True)


def ink_of(step: Step) -> str:
    """Return the ink of what happened."""
    return STATUS_INKS.get(step.line.event, "plain")


def _bar(glyphs: Glyphs) -> Column[Step]:
    def cell(step: Step) -> Cell:
        return Cell(glyphs.bars[-1] * round(step.line.share * _BAR_CELLS), "note")

    return _column("of the whole", _BAR_CELLS, cell)


def _gap(step: Step) -> Cell:
    gap = step.line.gap_seconds
    return Cell("" if gap is None else f"+{timeline.duration(gap)}")


def _words(step: Step) -> str:
    line = step.line
    waited = f"waited {line.waited}" if line.share >= _NOTABLE_SHARE else ""
    return "; ".join(
        part for part in (waited if line.waited else "", line.words) if part
    )


def _column(
    label: str, width: int, cell: Callable[[_Row], Cell], *, right: bool = False
) -> Column[_Row]:
    return Column(label=label, width=width, cell=cell, by=lambda _row: 0, right=right)
