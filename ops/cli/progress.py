"""A bar with rate and remaining time on a terminal; elsewhere, only what it waits for."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """How many a second, over the last while."""

    def render(self, task: Task) -> Text:
        """Draw it."""
        rate = task.speed or task.finished_speed
        return Text(
            "" if rate is None else f"{rate:,.0f}/s", style="progress.data.speed"
        )


class Bar:
    """Advances as things get done, and says what it waits for."""

    def __init__(self, progress: Progress, words: str, total: int) -> None:
        self._progress = progress
        self._words = words
        self._told: set[str] = set()
        self._task = progress.add_task(words, total=total)

    def advance(self, count: int) -> None:
        """Move on; a wait that was told is over."""
        self._progress.update(self._task, advance=count, description=self._words)

    def reach(self, count: int) -> None:
        """Move to a point."""
        self._progress.update(self._task, completed=count)

    def waits(self, why: str) -> None:
        """Say why nothing moves: in the bar, or once for each reason in a line."""
        self._progress.update(self._task, description=why)
        if self._progress.disable and why not in self._told:
            self._told.add(why)
            self._progress.console.print(why, markup=False, highlight=False)


@contextmanager
def bar(words: str, total: int) -> Iterator[Bar]:
    """Show a bar on stderr until the block is left."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield Bar(progress, words, total)
