"""The columns of the table of lanes."""

from collections.abc import Mapping, Sequence

from console import formats
from console.glyphs import Glyphs
from console.model.views import ChannelView, LaneHealth, LaneView, ProviderHealth
from console.picture import Cell
from console.readings import breaker_of
from console.widgets.keyed_table import Column, number_column
from console.widgets.totals import failing_ink, latency_ink
from console.widgets.trend import nice_top, trend
from contracts.channels import Channel, Priority

TREND_COLUMNS = 20

HEALTH_INKS = {
    LaneHealth.UNSERVED: "bad",
    LaneHealth.STALLED: "bad",
    LaneHealth.FAILING: "bad",
    LaneHealth.PAUSED: "warn",
    LaneHealth.AT_LIMIT: "warn",
    LaneHealth.WAITING: "note",
    LaneHealth.FLOWING: "good",
    LaneHealth.IDLE: "quiet",
    LaneHealth.UNKNOWN: "quiet",
}

PROVIDER_INKS = {
    ProviderHealth.OPEN: "bad",
    ProviderHealth.HELD: "bad",
    ProviderHealth.HALF_OPEN: "warn",
    ProviderHealth.UNKNOWN: "quiet",
    ProviderHealth.CLOSED: "good",
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
    glyphs: Glyphs, tops: Mapping[Channel, float]
) -> list[Column[LaneView]]:
    """Return the columns; ``tops`` may change while they are in use."""
    severity = list(LaneHealth)
    urgency = list(Priority)

    def trend_cell(lane: LaneView) -> Cell:
        top = tops.get(lane.channel, 0.0)
        return Cell(f" {trend(lane.trend, TREND_COLUMNS, top, glyphs)}", lane.channel)

    return [
        Column[LaneView](
            label="channel",
            width=8,
            cell=lambda lane: Cell(lane.channel, lane.channel),
            by=lambda lane: lane.channel,
            least_first=True,
        ),
        Column[LaneView](
            label="prio",
            width=9,
            cell=lambda lane: Cell(
                f"{glyphs.priority(lane.priority)} {lane.priority}",
                "quiet" if lane.priority is Priority.LOW else "plain",
            ),
            by=lambda lane: urgency.index(lane.priority),
            least_first=True,
        ),
        Column[LaneView](
            label="state",
            width=11,
            cell=lambda lane: Cell(
                f"{glyphs.lane(lane.health)} {lane.health}", HEALTH_INKS[lane.health]
            ),
            by=lambda lane: severity.index(lane.health),
            least_first=True,
        ),
        Column[LaneView](
            label="breaker",
            width=12,
            cell=lambda lane: breaker_cell(lane, glyphs),
            by=_breaker_severity,
            least_first=True,
        ),
        number_column("queued", 9, lambda lane: lane.queued, formats.count),
        number_column("unacked", 8, lambda lane: lane.unacked, formats.count, spare=4),
        number_column("in-fl", 6, lambda lane: lane.in_flight, formats.count, spare=3),
        number_column("rate/s", 7, lambda lane: lane.rate, formats.rate),
        Column[LaneView](
            label=" last 60 s",
            width=TREND_COLUMNS + 1,
            cell=trend_cell,
            by=lambda lane: sum(value or 0.0 for value in lane.trend),
            spare=5,
        ),
        number_column(
            "fail",
            7,
            lambda lane: lane.failing,
            formats.share,
            ink=lambda lane: failing_ink(lane.failing),
        ),
        number_column(
            "p95",
            7,
            lambda lane: lane.latency_p95_seconds,
            formats.duration,
            ink=lambda lane: latency_ink(lane.latency_p95_seconds),
        ),
        number_column("oldest", 7, lambda lane: lane.oldest_seconds, formats.age),
        number_column(
            "limit",
            6,
            lambda lane: lane.limit_share,
            formats.share,
            ink=lambda lane: "warn" if lane.health is LaneHealth.AT_LIMIT else "plain",
            spare=2,
        ),
    ]


def breaker_cell(lane: LaneView, glyphs: Glyphs) -> Cell:
    """Say how the breakers of a lane's providers are: the worst, and of how many."""
    breaker = lane.breaker
    if breaker is None:
        return Cell(formats.UNSAID, "quiet")
    some = 0 < lane.breakers_shut < lane.providers
    ink = "warn" if some else PROVIDER_INKS[breaker]
    return Cell(f"{glyphs.provider(breaker)} {breaker_of(lane)}", ink)


def _breaker_severity(lane: LaneView) -> int | None:
    return None if lane.breaker is None else list(ProviderHealth).index(lane.breaker)
