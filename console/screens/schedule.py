"""The scheduler's jobs, and what their runs found to repair."""

from typing import Any

from textual.app import ComposeResult
from textual.widgets import Static

from console import keys
from console.model.views import JOB_TROUBLES, JobView, RunView
from console.picture import Picture
from console.readings import JOB_FIELDS
from console.screens.job import JobScreen
from console.screens.job_columns import job_columns, run_columns
from console.screens.table_screen import TableScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.keyed_table import KeyedTable, OpeningTable

Entry = JobView | RunView


class ScheduleScreen(TableScreen[Entry]):
    """Two tables; keys work on the one that has the cursor, the filter on both."""

    scope = "schedule"
    rows = "jobs"
    none_exist = "No job has been heard of yet. The scheduler tells of those it holds."
    BINDINGS = keys.bindings("schedule")

    def __init__(self) -> None:
        super().__init__(JOB_FIELDS, job_columns)

    def parts(self) -> ComposeResult:
        """Make both tables and the filter."""
        yield OpeningTable[JobView](key=lambda row: row.key, id="job-table")
        yield Static("", id="empty")
        yield Static("", id="runs-title")
        yield OpeningTable[RunView](key=lambda row: row.key, id="run-table")
        yield FilterBar()

    @property
    def table(self) -> KeyedTable[Any]:
        """The jobs, or their runs when those have the cursor."""
        return self._runs if self._runs.has_focus else self._jobs

    def id_of(self, row: Entry) -> str:
        """Return the job's name."""
        return row.name

    def is_trouble(self, row: Entry) -> bool:
        """Say whether a job does not do its work, or a run failed."""
        return row.health in JOB_TROUBLES

    def draw(self, picture: Picture) -> None:
        """Draw the jobs and the runs of a picture."""
        snapshot = picture.snapshot
        chosen = self.chosen([*snapshot.jobs, *snapshot.runs])
        jobs = [row for row in chosen if isinstance(row, JobView)]
        runs = [row for row in chosen if isinstance(row, RunView)]
        self.fill(self._jobs, picture, jobs, any_exist=bool(snapshot.jobs))
        self._runs.fit(run_columns(picture.glyphs), self.app.size.width)
        self._runs.show(runs, picture.news, picture.glyphs)
        self._runs.display = bool(runs)
        title = self.query_one("#runs-title", Static)
        title.update(_runs_title(len(runs), hidden=len(snapshot.runs) - len(runs)))

    def action_open(self) -> None:
        """Open the job under the cursor."""
        row = self.current()
        if row is not None:
            at = row.key if isinstance(row, RunView) else None
            self.app.push_screen(JobScreen(row.name, at))

    def on_data_table_row_selected(self) -> None:
        """Open what was clicked."""
        self.action_open()

    @property
    def _jobs(self) -> KeyedTable[JobView]:
        return self.query_one("#job-table", KeyedTable)

    @property
    def _runs(self) -> KeyedTable[RunView]:
        return self.query_one("#run-table", KeyedTable)


def _runs_title(shown: int, hidden: int) -> str:
    if shown:
        return " runs that repaired or failed, and the last that looked for losses"
    if hidden:
        return f" {hidden:,} runs do not match"
    return " No run has repaired anything or failed since the console began."
