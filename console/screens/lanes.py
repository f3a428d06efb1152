"""Home: is anything wrong, and where."""

from textual.app import ComposeResult
from textual.widgets import Static

from console import keys
from console.model.views import LANE_TROUBLES, LaneView
from console.picture import Picture
from console.readings import LANE_FIELDS
from console.screens.lane import LaneScreen
from console.screens.lane_actions import LaneActions
from console.screens.lane_columns import lane_columns, trend_tops
from console.screens.table_screen import TableScreen
from console.widgets.chart import Layer, StackedChart, added, legend
from console.widgets.feed_view import FeedView
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import KeyedTable, OpeningTable
from console.widgets.orders import Orders
from console.widgets.totals import Totals
from contracts.channels import LANES, Channel, Lane


class LanesScreen(LaneActions, TableScreen[LaneView]):
    """The lanes, the flow of the last minutes, and what was out of the ordinary."""

    scope = "lanes"
    rows = "lanes"
    none_exist = "There are no lanes."
    BINDINGS = keys.bindings("lanes")

    def __init__(self) -> None:
        self._tops: dict[Channel, float] = {}
        super().__init__(LANE_FIELDS, lambda glyphs: lane_columns(glyphs, self._tops))

    def parts(self) -> ComposeResult:
        """Make totals, table, chart and events."""
        yield Totals(id="totals")
        yield OpeningTable[LaneView](key=lambda lane: lane.key, id="lane-table")
        yield Static("", id="empty")
        yield Orders(id="orders")
        chart = StackedChart(id="flow", classes="panel")
        chart.border_title = "settled per second"
        yield chart
        events = FeedView(cursor=False, id="notable", classes="panel")
        events.border_title = "out of the ordinary"
        yield events
        yield FilterBar()

    @property
    def table(self) -> KeyedTable[LaneView]:
        """The lanes."""
        return self.query_one("#lane-table", KeyedTable)

    def id_of(self, row: LaneView) -> str:
        """Return the lane's name."""
        return row.key

    def is_trouble(self, row: LaneView) -> bool:
        """Say whether the lane needs somebody."""
        return row.health in LANE_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the lanes of a picture."""
        self.query_one(Totals).paint(picture)
        snapshot = picture.snapshot
        self._tops.update(trend_tops(snapshot.lanes, snapshot.channels))
        self.show_rows(picture, snapshot.lanes)
        self.query_one(Orders).paint(picture)
        self._draw_flow(picture)
        events = self.query_one("#notable", FeedView)
        events.paint(picture, snapshot.notable, instead="Nothing yet.")

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

    def lane_in_hand(self) -> LaneView | None:
        """Return the lane under the cursor."""
        return self.current()

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
