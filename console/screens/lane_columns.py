"""The columns of the table of lanes."""

from collections.abc import Callable, Mapping, Sequence

from console import formats
from console.glyphs import Glyphs
from console.model.views import ChannelView, LaneHealth, LaneView
from console.picture import Cell
from console.widgets.keyed_table import Column
from console.widgets.totals import failing_ink
from console.widgets.trend import nice_top, trend
from contracts.channels import Channel, Priority

TREND_COLUMNS = 20

HEALTH_INKS = {
    LaneHealth.UNSERVED: "bad",
    LaneHealth.STALLED: "bad",
    LaneHealth.FAILING: "bad",
    LaneHealth.AT_LIMIT: "warn",
    LaneHealth.WAITING: "note",
    LaneHealth.FLOWING: "good",
    LaneHealth.IDLE: "quiet",
    LaneHealth.UNKNOWN: "quiet",
}


def trend_tops(
    lanes: Sequence[LaneView], channels: Sequence[ChannelView]
) -> dict[Channel, float]:
    """Return what a full column of each channel's trends stands for.

    That is the channel's limit, or else the same round number for all: scaled to its own
    highest an idle lane would look busy.
    """
    highest = max((v for lane in lanes for v in lane.trend if v), default=0.0)
    shared = nice_top(highest)
    return {view.channel: view.limit or shared for view in channels}


def lane_columns(
    glyphs: Glyphs, tops: Mapping[Channel, float], *, wide: bool
) -> list[Column[LaneView]]:
    """Return the columns; ``tops`` may change while they are in use."""
    severity = list(LaneHealth)
    urgency = list(Priority)

    def trend_cell(lane: LaneView) -> Cell:
        top = tops.get(lane.channel, 0.0)
        return Cell(trend(lane.trend, TREND_COLUMNS, top, glyphs), lane.channel)

    columns = [
        Column[LaneView](
            label="channel",
            width=8,
            cell=lambda lane: Cell(lane.channel, lane.channel),
            by=lambda lane: lane.channel,
            least_first=True,
        ),
        Column[LaneView](
            label="prio",
            width=9 if wide else 8,
            cell=lambda lane: Cell(
                f"{glyphs.priority(lane.priority)} {lane.priority}",
                "quiet" if lane.priority is Priority.LOW else "plain",
            ),
            by=lambda lane: urgency.index(lane.priority),
            least_first=True,
        ),
        Column[LaneView](
            label="state",
            width=11 if wide else 10,
            cell=lambda lane: Cell(
                f"{glyphs.lane(lane.health)} {lane.health}", HEALTH_INKS[lane.health]
            ),
            by=lambda lane: severity.index(lane.health),
            least_first=True,
        ),
        _number("queued", 10 if wide else 9, lambda lane: lane.queued),
        _number("unacked", 9, lambda lane: lane.unacked),
        _number(
            "in flight" if wide else "in-fl",
            10 if wide else 6,
            lambda lane: lane.in_flight,
        ),
        Column[LaneView](
            label="rate/s",
            width=8 if wide else 7,
            cell=lambda lane: Cell(
                formats.rate(lane.rate), "plain" if lane.rate else "quiet"
            ),
            by=lambda lane: lane.rate,
            right=True,
        ),
        Column[LaneView](
            label="last 60 s",
            width=TREND_COLUMNS,
            cell=trend_cell,
            by=lambda lane: sum(value or 0.0 for value in lane.trend),
        ),
        Column[LaneView](
            label="fail",
            width=7 if wide else 6,
            cell=lambda lane: Cell(
                formats.share(lane.failing),
                failing_ink(lane.failing, calm="plain" if lane.failing else "quiet"),
            ),
            by=lambda lane: lane.failing,
            right=True,
        ),
        Column[LaneView](
            label="oldest",
            width=8 if wide else 7,
            cell=lambda lane: Cell(
                formats.age(lane.oldest_seconds),
                "quiet" if lane.oldest_seconds is None else "plain",
            ),
            by=lambda lane: lane.oldest_seconds,
            right=True,
        ),
    ]
    hidden = () if wide else ("unacked", "last 60 s")
    return [column for column in columns if column.label not in hidden]


def _number(
    label: str, width: int, read: Callable[[LaneView], int | None]
) -> Column[LaneView]:
    def cell(lane: LaneView) -> Cell:
        number = read(lane)
        return Cell(formats.count(number), "plain" if number else "quiet")

    return Column(label=label, width=width, cell=cell, by=read, right=True)
