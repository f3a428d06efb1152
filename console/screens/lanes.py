"""Home: is anything wrong, and where."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from console import keys
from console.filters import Fields
from console.glyphs import Glyphs
from console.model.views import LANE_TROUBLES, LaneView
from console.picture import Picture
from console.screens.lane import LaneScreen
from console.screens.lane_actions import LaneActions
from console.screens.lane_columns import lane_columns, trend_tops
from console.screens.mesh_screen import ListScreen
from console.widgets.chart import Layer, StackedChart, added, legend
from console.widgets.feed_view import FeedView
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import Column, KeyedTable
from console.widgets.orders import Orders
from console.widgets.totals import Totals
from contracts.channels import LANES, Channel, Lane

WIDE_COLUMNS = 100


_FIELDS: Fields[LaneView] = {
    "channel": lambda lane: lane.channel,
    "priority": lambda lane: lane.priority,
    "state": lambda lane: lane.health,
}


class LaneTable(KeyedTable[LaneView]):
    """The nine lanes."""

    BINDINGS = keys.bindings("lane_table")

    def __init__(self) -> None:
        super().__init__(key=lambda lane: lane.key, id="lane-table")


class LanesScreen(LaneActions, ListScreen[LaneView]):
    """The lanes, the flow of the last minutes, and what was out of the ordinary."""

    scope = "lanes"
    BINDINGS = keys.bindings("lanes")

    def __init__(self) -> None:
        super().__init__(_FIELDS)
        self._layout: Sequence[Column[LaneView]] = ()
        self._layout_of: tuple[bool, Glyphs] | None = None
        self._tops: dict[Channel, float] = {}

    def parts(self) -> ComposeResult:
        """Make totals, table, chart and events."""
        yield Totals(id="totals")
        yield LaneTable()
        yield Static("", id="empty")
        yield Orders(id="orders")
        chart = StackedChart(id="flow", classes="panel")
        chart.border_title = "settled per second"
        yield chart
        events = FeedView(cursor=False, id="notable", classes="panel")
        events.border_title = "out of the ordinary"
        yield events
        yield FilterBar()

    def list_widget(self) -> Widget:
        """Return the lanes."""
        return self.query_one(LaneTable)

    def current(self) -> LaneView | None:
        """Return the lane under the cursor."""
        return self.query_one(LaneTable).cursor_value

    def id_of(self, row: LaneView) -> str:
        """Return the lane's name."""
        return row.key

    def is_trouble(self, row: LaneView) -> bool:
        """Say whether the lane needs somebody."""
        return row.health in LANE_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the lanes of a picture."""
        self.query_one(Totals).paint(picture)
        self._draw_table(picture)
        self.query_one(Orders).paint(picture)
        self._draw_flow(picture)
        events = self.query_one("#notable", FeedView)
        events.paint(picture, picture.snapshot.notable, instead="Nothing yet.")

    def action_open(self) -> None:
        """Open the lane under the cursor."""
        lane = self.current()
        if lane is not None:
            self.app.push_screen(LaneScreen(Lane(lane.channel, lane.priority)))

    def on_data_table_row_highlighted(self) -> None:
        """Another lane may allow other things."""
        self.bring_keys()

    def on_data_table_row_selected(self) -> None:
        """Open the lane that was clicked."""
        self.action_open()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.query_one(LaneTable).sort_next()
        self.redraw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        table = self.query_one(LaneTable)
        table.reverse = not table.reverse
        self.redraw()

    def lane_in_hand(self) -> LaneView | None:
        """Return the lane under the cursor."""
        return self.current()

    def _draw_table(self, picture: Picture) -> None:
        snapshot = picture.snapshot
        self._tops.update(trend_tops(snapshot.lanes, snapshot.channels))
        lanes = self.chosen(snapshot.lanes)
        table = self.query_one(LaneTable)
        table.layout_columns = self._columns(picture.glyphs)
        table.show(lanes, picture.news, picture.glyphs)
        empty = self.query_one("#empty", Static)
        empty.display = not lanes
        if not lanes:
            empty.update(f"No lanes {self.reduction()}; esc shows all.")

    def _columns(self, glyphs: Glyphs) -> Sequence[Column[LaneView]]:
        layout_of = (self.app.size.width >= WIDE_COLUMNS, glyphs)
        if layout_of != self._layout_of:
            self._layout_of = layout_of
            self._layout = lane_columns(glyphs, self._tops, wide=layout_of[0])
        return self._layout

    def _draw_flow(self, picture: Picture) -> None:
        chart = self.query_one(StackedChart)
        flows = {lane: picture.flow(lane) for lane in LANES}
        layers = [
            Layer(
                channel,
                added(
                    [flows[lane].delivered for lane in LANES if lane.channel is channel]
                ),
            )
            for channel in Channel
        ]
        layers.append(Layer("bad", added([flow.failed for flow in flows.values()])))
        chart.paint(picture, layers)
        chart.border_subtitle = legend(
            [*((c.value, c.value) for c in Channel), ("error", "failed")],
            picture.glyphs,
        )
