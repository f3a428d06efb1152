"""The processes of the mesh: who is there, how they are, who went silent."""

from rich.text import Text
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from console import formats, keys
from console.filters import Fields
from console.glyphs import Glyphs
from console.model.views import SERVICE_TROUBLES, ServiceHealth, ServiceView
from console.picture import Cell, Picture
from console.screens.mesh_screen import ListScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import Column, KeyedTable

WIDE_COLUMNS = 100

HEALTH_INKS = {
    ServiceHealth.LOST: "bad",
    ServiceHealth.ABSENT: "bad",
    ServiceHealth.UNREADY: "bad",
    ServiceHealth.STARTING: "note",
    ServiceHealth.DRAINING: "warn",
    ServiceHealth.READY: "good",
    ServiceHealth.STOPPED: "quiet",
    ServiceHealth.GONE: "quiet",
    ServiceHealth.UNKNOWN: "quiet",
}


_FIELDS: Fields[ServiceView] = {
    "service": lambda row: row.service,
    "instance": lambda row: row.instance,
    "state": lambda row: row.health,
    "version": lambda row: row.version,
}


class ServicesScreen(ListScreen[ServiceView]):
    """A row for each process, and below it what the one under the cursor says."""

    scope = "services"
    BINDINGS = keys.bindings("services")

    def __init__(self) -> None:
        super().__init__(_FIELDS)
        self._layout: list[Column[ServiceView]] = []
        self._layout_of: tuple[bool, Glyphs] | None = None

    def parts(self) -> ComposeResult:
        """Make table, detail and filter."""
        yield KeyedTable[ServiceView](key=lambda row: row.key, id="service-table")
        yield Static("", id="empty")
        detail = Static("", id="service-detail", classes="panel")
        yield detail
        yield FilterBar()

    def list_widget(self) -> Widget:
        """Return the services."""
        return self._table

    def current(self) -> ServiceView | None:
        """Return the service under the cursor."""
        return self._table.cursor_value

    def id_of(self, row: ServiceView) -> str:
        """Return the instance, or the service where none is known."""
        return row.instance or row.service

    def is_trouble(self, row: ServiceView) -> bool:
        """Say whether the service needs somebody."""
        return row.health in SERVICE_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the services of a picture."""
        services = self.chosen(picture.snapshot.services)
        layout_of = (self.app.size.width >= WIDE_COLUMNS, picture.glyphs)
        if layout_of != self._layout_of:
            self._layout_of = layout_of
            self._layout = service_columns(picture.glyphs, wide=layout_of[0])
        self._table.layout_columns = self._layout
        self._table.show(services, picture.news, picture.glyphs)
        empty = self.query_one("#empty", Static)
        empty.display = not services
        if not services:
            empty.update(self._nothing(picture))
        self._draw_detail(picture)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._table.sort_next()
        self.redraw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._table.reverse = not self._table.reverse
        self.redraw()

    def on_data_table_row_highlighted(self) -> None:
        """Show what the service under the cursor says."""
        if self.picture is not None:
            self._draw_detail(self.picture)

    @property
    def _table(self) -> KeyedTable[ServiceView]:
        return self.query_one("#service-table", KeyedTable)

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#service-detail", Static)
        row = self.current()
        detail.display = row is not None
        if row is not None:
            detail.border_title = f"{row.service} {row.instance}".strip()
            detail.update(_detail(row, picture))

    def _nothing(self, picture: Picture) -> str:
        if not picture.snapshot.services:
            return "No service has been heard yet. Each reports once a second."
        return f"No services {self.reduction()}; esc shows all."


def service_columns(glyphs: Glyphs, *, wide: bool) -> list[Column[ServiceView]]:
    """Return the columns of the table of services."""
    severity = list(ServiceHealth)
    columns = [
        Column[ServiceView](
            label="service",
            width=11,
            cell=lambda row: Cell(row.service, "strong"),
            by=lambda row: row.service,
            least_first=True,
        ),
        Column[ServiceView](
            label="instance",
            width=30 if wide else 20,
            cell=lambda row: Cell(row.instance or "none heard"),
            by=lambda row: row.instance,
            least_first=True,
        ),
        Column[ServiceView](
            label="state",
            width=10,
            cell=lambda row: Cell(
                f"{glyphs.service(row.health)} {row.health}", HEALTH_INKS[row.health]
            ),
            by=lambda row: severity.index(row.health),
            least_first=True,
        ),
        Column[ServiceView](
            label="heard",
            width=6,
            cell=lambda row: Cell(
                formats.age(row.heard_seconds), HEALTH_INKS[row.health]
            ),
            by=lambda row: row.heard_seconds,
            right=True,
        ),
        Column[ServiceView](
            label="up",
            width=6,
            cell=lambda row: Cell(formats.age(row.up_seconds), "plain"),
            by=lambda row: row.up_seconds,
            right=True,
        ),
        Column[ServiceView](
            label="in flight",
            width=9,
            cell=lambda row: Cell(formats.count(row.in_flight), "plain"),
            by=lambda row: row.in_flight,
            right=True,
        ),
        Column[ServiceView](
            label="memory",
            width=8,
            cell=lambda row: Cell(formats.size(row.rss_bytes), "plain"),
            by=lambda row: row.rss_bytes,
            right=True,
        ),
        Column[ServiceView](
            label="version",
            width=12,
            cell=_version,
            by=lambda row: row.version,
            least_first=True,
        ),
    ]
    hidden = () if wide else ("in flight", "version")
    return [column for column in columns if column.label not in hidden]


def _version(row: ServiceView) -> Cell:
    if row.odd_version:
        return Cell(f"{row.version} older", "warn")
    return Cell(row.version, "quiet")


def _detail(row: ServiceView, picture: Picture) -> Text:
    inks = picture.news
    text = Text()
    if row.health is ServiceHealth.ABSENT:
        return text.append("No instance of this service has been heard.", inks["bad"])
    text.append("pid ", inks["quiet"]).append(str(row.pid or "-"))
    text.append("   version ", inks["quiet"]).append(row.version)
    for name, said in row.dependencies.items():
        text.append(f"   {name} ", inks["quiet"])
        text.append(said, inks["good" if said == "ok" else "bad"])
    for name, value in row.gauges.items():
        text.append(f"\n{name:<34}", inks["quiet"]).append(f"{value:>14,g}")
    if row.lanes:
        text.append(f"\n{'lane':<14}", inks["quiet"])
        for label in _LANE_COUNTS:
            text.append(f"{label.replace('_', ' '):>11}", inks["quiet"])
    for lane in row.lanes:
        text.append(f"\n{lane.channel}/{lane.priority}".ljust(15), inks[lane.channel])
        for label in _LANE_COUNTS:
            text.append(f"{getattr(lane, label):>11,}")
    return text


_LANE_COUNTS = ("in_flight", "attempts", "delivered", "retried", "failed")
