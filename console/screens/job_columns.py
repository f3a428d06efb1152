"""The columns of the tables of jobs and of their runs."""

from console import formats
from console.glyphs import Glyphs
from console.model.views import JobHealth, JobView, RunView
from console.picture import Cell
from console.widgets.keyed_table import Column, number_column, word_column

JOB_INKS = {
    JobHealth.UNHELD: "bad",
    JobHealth.FAILED: "bad",
    JobHealth.OVERDUE: "warn",
    JobHealth.WAITING: "note",
    JobHealth.RAN: "good",
    JobHealth.UNKNOWN: "quiet",
}

_severity = list(JobHealth).index


def job_columns(glyphs: Glyphs) -> list[Column[JobView]]:
    """Return the columns of the table of jobs."""
    return [
        word_column("job", 18, lambda row: row.name, ink=lambda _row: "strong"),
        Column(
            label="state",
            width=11,
            cell=lambda row: Cell(
                f"{glyphs.job(row.health)} {row.health}", JOB_INKS[row.health]
            ),
            by=lambda row: _severity(row.health),
            least_first=True,
        ),
        Column(
            label="every",
            width=16,
            cell=lambda row: Cell(_period(row), "quiet"),
            by=lambda row: row.period_seconds,
            least_first=True,
            spare=4,
        ),
        Column(
            label="next",
            width=7,
            cell=lambda row: Cell(
                formats.until(row.next_seconds),
                "warn" if row.health is JobHealth.OVERDUE else "plain",
            ),
            by=lambda row: row.next_seconds,
            right=True,
            least_first=True,
        ),
        number_column("last", 7, lambda row: row.last_seconds, formats.age),
        number_column("took", 8, lambda row: row.duration_seconds, formats.duration),
        number_column("repaired", 9, lambda row: row.repaired, formats.count, spare=3),
        Column(
            label="  last 20 runs",
            width=22,
            cell=lambda row: Cell(f"  {row.strip}", _strip_ink(row)),
            by=lambda row: row.strip.count("!"),
        ),
        word_column(
            "  holder",
            17,
            lambda row: f"  {row.holder}",
            ink=lambda _row: "quiet",
            spare=5,
            grows=True,
        ),
    ]


def run_columns(glyphs: Glyphs) -> list[Column[RunView]]:
    """Return the columns of a table of runs."""
    return [
        Column(
            label="began",
            width=9,
            cell=lambda row: Cell(formats.clock(row.started_at), "quiet"),
            by=lambda row: row.started_at,
        ),
        word_column("job", 18, lambda row: row.name, ink=lambda _row: "strong"),
        Column(
            label="ended",
            width=9,
            cell=lambda row: Cell(
                f"{glyphs.job(row.health)} {row.health}", JOB_INKS[row.health]
            ),
            by=lambda row: _severity(row.health),
            least_first=True,
        ),
        number_column("took", 7, lambda row: row.duration_seconds, formats.duration),
        number_column("scanned", 10, lambda row: row.scanned, formats.count, spare=1),
        number_column(
            "repaired",
            9,
            lambda row: row.repaired,
            formats.count,
            ink=lambda _row: "warn",
        ),
        Column(
            label="  why",
            width=17,
            cell=lambda row: Cell(
                f"  {row.words}",
                "bad" if row.health is JobHealth.FAILED else "plain",
            ),
            by=lambda row: row.words,
            least_first=True,
            grows=True,
        ),
    ]


def _period(row: JobView) -> str:
    return formats.period(row.period_seconds).removeprefix("every ")


def _strip_ink(row: JobView) -> str:
    if "!" in row.strip:
        return "bad"
    return "warn" if "+" in row.strip else "quiet"
