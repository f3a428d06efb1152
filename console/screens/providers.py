"""The providers: which are sent to, how they answer, and what each gets of the traffic."""

from textual.app import ComposeResult
from textual.widgets import Static

from console import keys
from console.model.views import PROVIDER_TROUBLES, ProviderView
from console.picture import Picture
from console.readings import PROVIDER_FIELDS
from console.screens.provider import ProviderScreen
from console.screens.provider_actions import ProviderActions
from console.screens.provider_columns import provider_columns
from console.screens.table_screen import TableScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import KeyedTable, OpeningTable
from console.widgets.provider_charts import ProviderCharts


class ProvidersScreen(ProviderActions, TableScreen[ProviderView]):
    """A row for each provider, and below it the last minutes of the one under the cursor."""

    scope = "providers"
    rows = "providers"
    none_exist = (
        "No provider has been heard of yet. Dispatchers tell of those they use."
    )
    BINDINGS = keys.bindings("providers")

    def __init__(self) -> None:
        super().__init__(PROVIDER_FIELDS, provider_columns)

    def parts(self) -> ComposeResult:
        """Make table, charts and filter."""
        yield OpeningTable[ProviderView](key=lambda row: row.key, id="provider-table")
        yield Static("", id="empty")
        yield ProviderCharts(id="provider-charts")
        yield FilterBar()

    @property
    def table(self) -> KeyedTable[ProviderView]:
        """The providers."""
        return self.query_one("#provider-table", KeyedTable)

    def id_of(self, row: ProviderView) -> str:
        """Return the provider's name."""
        return row.name

    def is_trouble(self, row: ProviderView) -> bool:
        """Say whether the provider is not sent to."""
        return row.health in PROVIDER_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the providers of a picture."""
        self.show_rows(picture, picture.snapshot.providers)
        self._draw_charts(picture)

    def action_open(self) -> None:
        """Open the provider under the cursor."""
        row = self.current()
        if row is not None:
            self.app.push_screen(ProviderScreen(row.name))

    def provider_in_hand(self) -> ProviderView | None:
        """Return the provider under the cursor."""
        return self.current()

    def on_data_table_row_selected(self) -> None:
        """Open the provider that was clicked."""
        self.action_open()

    def on_data_table_row_highlighted(self) -> None:
        """Show the last minutes of the provider under the cursor."""
        self.bring_keys()
        if self.picture is not None:
            self._draw_charts(self.picture)

    def _draw_charts(self, picture: Picture) -> None:
        charts = self.query_one(ProviderCharts)
        row = self.current()
        charts.display = row is not None
        if row is not None:
            charts.paint(picture, row.name)
