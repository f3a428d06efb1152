"""One lane: how fast, how full, what fails and why, and its latest events."""

from collections.abc import Iterable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from console import formats, keys
from console.model.views import LaneView
from console.picture import Picture
from console.screens.lane_actions import LaneActions
from console.screens.lane_columns import HEALTH_INKS
from console.screens.mesh_screen import Export
from console.widgets.chart import Layer, StackedChart, legend
from console.widgets.feed_view import FeedView
from console.widgets.figure import Figure
from console.widgets.orders import Orders
from contracts.channels import Lane

_RATE_LEGEND = [("success", "delivered"), ("error", "failed")]
#: What a failure's name and number take before its bar.
_BEFORE_BAR = 20


class LaneScreen(LaneActions):
    """Everything the console knows of one lane."""

    scope = "lane"
    BINDINGS = keys.bindings("lane")

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self._lane = lane

    def parts(self) -> ComposeResult:
        """Make figures, charts, failures and events."""
        yield Static("", id="lane-title")
        yield Orders(id="orders")
        with Horizontal(id="figures"):
            yield Figure("queued", "figure-queued")
            yield Figure("in flight", "figure-in-flight")
            yield Figure("per second", "figure-rate")
            yield Figure("failing, %", "figure-failing")
        with Horizontal(id="lane-charts"):
            rate = StackedChart(id="lane-rate", classes="panel")
            rate.border_title = "settled per second"
            yield rate
            queued = StackedChart(id="lane-queued", classes="panel")
            queued.border_title = "queued"
            yield queued
        with Horizontal(id="lane-lower"):
            failures = Static("", id="failures", classes="panel")
            failures.border_title = "failures, last 5 minutes"
            yield failures
            events = FeedView(cursor=False, id="lane-events", classes="panel")
            events.border_title = "latest events"
            yield events

    def draw(self, picture: Picture) -> None:
        """Draw the lane as it is in the picture."""
        view = self._view(picture)
        title = self.query_one("#lane-title", Static)
        title.update(_title(view, picture), layout=False)
        self.query_one(Orders).paint(picture, self._lane)
        self._draw_figures(view)
        flow = picture.flow(self._lane)
        rate = self.query_one("#lane-rate", StackedChart)
        rate.paint(picture, [Layer("good", flow.delivered), Layer("bad", flow.failed)])
        rate.border_subtitle = legend(_RATE_LEGEND, picture.glyphs)
        self.query_one("#lane-queued", StackedChart).paint(
            picture, [Layer(self._lane.channel, flow.queued)], least_top=100
        )
        failures = self.query_one("#failures", Static)
        width = failures.content_size.width
        failures.update(_failures(view, picture, width), layout=False)
        events = self.query_one("#lane-events", FeedView)
        lines = [line for line in picture.snapshot.feed if line.lane == view.key]
        events.paint(picture, lines, instead="Nothing yet.")

    def action_copy_row(self) -> None:
        """Copy the lane as JSON."""
        if self.picture is not None:
            view = self._view(self.picture)
            self.copy_json(view, f"{view.key} as JSON")

    def lane_in_hand(self) -> LaneView | None:
        """Return the lane that is shown."""
        return None if self.picture is None else self._view(self.picture)

    def exports(self) -> Iterable[Export]:
        """Offer the lane."""
        lane = self.lane_in_hand()
        return () if lane is None else self.export(lane, lane.key)

    def _view(self, picture: Picture) -> LaneView:
        return next(
            view for view in picture.snapshot.lanes if view.key == str(self._lane)
        )

    def _draw_figures(self, view: LaneView) -> None:
        figures = {
            "queued": (formats.count(view.queued), _oldest(view)),
            "in-flight": (
                formats.count(view.in_flight),
                f"{formats.count(view.unacked)} not settled",
            ),
            "rate": (formats.rate(view.rate), "settled, last 5 s"),
            "failing": (
                formats.share(view.failing).rstrip("%"),
                "of the last minute",
            ),
        }
        for name, (value, note) in figures.items():
            self.query_one(f"#figure-{name}", Figure).paint(value, note)


def _oldest(view: LaneView) -> str:
    if view.oldest_seconds is None:
        return "nothing waits"
    return f"oldest {formats.age(view.oldest_seconds)}"


def _title(view: LaneView, picture: Picture) -> Text:
    text = Text(" ")
    text.append("lanes ", picture.inks["quiet"])
    text.append(f"{picture.glyphs.step} ", picture.inks["quiet"])
    text.append(view.key, picture.inks[view.channel])
    text.append(
        f"   {picture.glyphs.lane(view.health)} {view.health}",
        picture.inks[HEALTH_INKS[view.health]],
    )
    return text


def _failures(view: LaneView, picture: Picture, width: int) -> Text:
    inks, room = picture.news, max(1, width - _BEFORE_BAR)
    if not view.failures:
        return Text("none seen", inks["quiet"])
    most = max(view.failures.values())
    lines = []
    for failure, number in view.failures.items():
        bar = picture.glyphs.bars[-1] * max(1, round(number / most * room))
        line = Text(f"{failure:<11}")
        line.append(f"{number:>7,} ")
        line.append(bar, inks["bad"])
        lines.append(line)
    return Text("\n", no_wrap=True).join(lines)
