"""The processes of the mesh: who is there, how they are, who went silent."""

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from console import formats, keys
from console.glyphs import Glyphs
from console.model.views import SERVICE_TROUBLES, ServiceHealth, ServiceView
from console.picture import Cell, Picture
from console.readings import SERVICE_FIELDS
from console.screens.table_screen import TableScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import Column, KeyedTable, number_column

#: A process that comes so late to its report is too busy for what it serves.
_LAG_SECONDS = 0.25

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


class ServicesScreen(TableScreen[ServiceView]):
    """A row for each process, and below it what the one under the cursor says."""

    scope = "services"
    rows = "services"
    none_exist = "No service has been heard yet. Each reports once a second."
    BINDINGS = keys.bindings("services")

    def __init__(self) -> None:
        super().__init__(SERVICE_FIELDS, service_columns)

    def parts(self) -> ComposeResult:
        """Make table, detail and filter."""
        yield KeyedTable[ServiceView](key=lambda row: row.key, id="service-table")
        yield Static("", id="empty")
        detail = Static("", id="service-detail", classes="panel")
        yield detail
        yield FilterBar()

    @property
    def table(self) -> KeyedTable[ServiceView]:
        """The services."""
        return self.query_one("#service-table", KeyedTable)

    def id_of(self, row: ServiceView) -> str:
        """Return the instance, or the service where none is known."""
        return row.instance or row.service

    def is_trouble(self, row: ServiceView) -> bool:
        """Say whether the service needs somebody."""
        odd = row.odd_version or row.odd_settings
        return odd or row.health in SERVICE_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the services of a picture."""
        self.show_rows(picture, picture.snapshot.services)
        self._draw_detail(picture)

    def on_data_table_row_highlighted(self) -> None:
        """Show what the service under the cursor says."""
        if self.picture is not None:
            self._draw_detail(self.picture)

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#service-detail", Static)
        row = self.current()
        detail.display = row is not None
        if row is not None:
            detail.border_title = f"{row.service} {row.instance}".strip()
            detail.update(_detail(row, picture))


def service_columns(glyphs: Glyphs) -> list[Column[ServiceView]]:
    """Return the columns of the table of services."""
    severity = list(ServiceHealth)
    return [
        Column[ServiceView](
            label="service",
            width=11,
            cell=lambda row: Cell(row.service, "strong"),
            by=lambda row: row.service,
            least_first=True,
        ),
        Column[ServiceView](
            label="instance",
            width=25,
            grows=True,
            cell=lambda row: _instance(row, glyphs),
            by=lambda row: row.instance,
            least_first=True,
        ),
        Column[ServiceView](
            label="state",
            width=11,
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
                formats.age(row.heard_seconds),
                "warn" if row.late else HEALTH_INKS[row.health],
            ),
            by=lambda row: row.heard_seconds,
            right=True,
        ),
        number_column("up", 7, lambda row: row.up_seconds, formats.age),
        number_column(
            "in flight", 11, lambda row: row.in_flight, formats.count, spare=4
        ),
        number_column(
            "lag",
            8,
            lambda row: row.lag_seconds,
            formats.duration,
            ink=lambda row: (
                "warn" if (row.lag_seconds or 0) > _LAG_SECONDS else "plain"
            ),
        ),
        number_column("memory", 9, lambda row: row.rss_bytes, formats.size),
        Column[ServiceView](
            label="  version",
            width=16,
            cell=lambda row: Cell(
                f"  {row.version} older" if row.odd_version else f"  {row.version}",
                "warn" if row.odd_version else "quiet",
            ),
            by=lambda row: row.version,
            least_first=True,
            spare=2,
        ),
        Column[ServiceView](
            label="settings",
            width=14,
            cell=lambda row: Cell(
                f"{row.settings_hash} odd" if row.odd_settings else row.settings_hash,
                "warn" if row.odd_settings else "quiet",
            ),
            by=lambda row: row.settings_hash,
            least_first=True,
            spare=3,
        ),
    ]


def _instance(row: ServiceView, glyphs: Glyphs) -> Cell:
    if row.odd_version or row.odd_settings:
        return Cell(f"{glyphs.alarm} {row.instance}", "warn")
    return Cell(row.instance or "none heard")


def _detail(row: ServiceView, picture: Picture) -> Text:
    inks = picture.news
    text = Text()
    if row.health is ServiceHealth.ABSENT:
        return text.append("No instance of this service has been heard.", inks["bad"])
    text.append("pid ", inks["quiet"]).append(str(row.pid or "-"))
    text.append("   version ", inks["quiet"]).append(row.version)
    if row.odd_version:
        text.append(" older", inks["warn"])
    text.append("   settings ", inks["quiet"]).append(row.settings_hash or "-")
    if row.odd_settings:
        text.append(" not those of the newest", inks["warn"])
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
