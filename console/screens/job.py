"""One job: how its runs went, and what each repaired."""

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from console import formats, keys
from console.filters import Fields
from console.model.views import JOB_TROUBLES, JobView, RunView
from console.picture import Picture
from console.screens.job_columns import JOB_INKS, run_columns
from console.screens.table_screen import TableScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import KeyedTable

FIELDS: Fields[RunView] = {
    "state": lambda row: row.health,
    "holder": lambda row: row.holder,
    "why": lambda row: row.words,
}


class JobScreen(TableScreen[RunView]):
    """The runs of one job that the console heard of."""

    scope = "job"
    rows = "runs"
    none_exist = "No run of this job has been heard of since the console began."
    BINDINGS = keys.bindings("job")

    def __init__(self, name: str, at: str | None = None) -> None:
        """Open with the cursor on the run of that key, or on the newest."""
        super().__init__(FIELDS, run_columns)
        self._job = name
        self._at = at

    def parts(self) -> ComposeResult:
        """Make title, table, detail and filter."""
        yield Static("", id="lane-title")
        yield KeyedTable[RunView](key=lambda row: row.key, id="run-table")
        yield Static("", id="empty")
        yield Static("", id="run-detail", classes="panel")
        yield FilterBar()

    @property
    def table(self) -> KeyedTable[RunView]:
        """The runs."""
        return self.query_one("#run-table", KeyedTable)

    def id_of(self, row: RunView) -> str:
        """Return the job and when the run began."""
        return row.key

    def is_trouble(self, row: RunView) -> bool:
        """Say whether the run failed."""
        return row.health in JOB_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the job as it is in the picture."""
        view = next((j for j in picture.snapshot.jobs if j.name == self._job), None)
        title = self.query_one("#lane-title", Static)
        title.update(_title(self._job, view, picture), layout=False)
        self.show_rows(picture, picture.runs_of(self._job))
        if self._at is not None:
            self.table.go_to(self._at)
            self._at = None
        self._draw_detail(picture)

    def on_data_table_row_highlighted(self) -> None:
        """Show what the run under the cursor did."""
        if self.picture is not None:
            self._draw_detail(self.picture)

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#run-detail", Static)
        row = self.current()
        detail.display = row is not None
        if row is not None:
            detail.border_title = f"the run of {formats.clock(row.started_at)}"
            detail.update(_detail(row, picture))


def _title(name: str, view: JobView | None, picture: Picture) -> Text:
    quiet = picture.inks["quiet"]
    text = Text(" ", no_wrap=True, overflow="ellipsis")
    text.append("schedule ", quiet).append(f"{picture.glyphs.step} ", quiet)
    text.append(name, picture.inks["strong"])
    if view is None:
        return text
    sign = picture.glyphs.job(view.health)
    text.append(f"   {sign} {view.health}", picture.inks[JOB_INKS[view.health]])
    text.append(f"   {formats.period(view.period_seconds)}", quiet)
    return text.append(f"   held by {view.holder}", quiet)


def _detail(row: RunView, picture: Picture) -> Text:
    inks = picture.news
    text = Text("took ", inks["quiet"])
    text.append(formats.duration(row.duration_seconds), inks["plain"])
    text.append("   scanned ", inks["quiet"])
    text.append(formats.count(row.scanned), inks["plain"])
    text.append("   repaired ", inks["quiet"])
    text.append(formats.count(row.repaired), inks["plain"])
    text.append("   by ", inks["quiet"]).append(row.holder, inks["plain"])
    if row.error:
        text.append(f"\n{row.error}", inks["bad"])
    for reason, count in sorted(row.why.items(), key=lambda item: -item[1]):
        text.append(f"\n{count:>9,}  ", inks["plain"]).append(reason, inks["plain"])
    return text
