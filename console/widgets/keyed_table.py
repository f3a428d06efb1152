"""A table whose cursor stays with its row, however the rows move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from rich.text import Text
from textual.binding import Binding
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from console import keys
from console.glyphs import Glyphs
from console.picture import Cell
from console.themes import Inks

_Row = TypeVar("_Row")

#: What a table keeps free at its left, and for a scroll bar at its right.
_MARGIN = 2


@dataclass(frozen=True, kw_only=True)
class Column(Generic[_Row]):
    """One column: fixed width, so that nothing jumps while numbers change."""

    label: str
    width: int
    cell: Callable[[_Row], Cell]
    by: Callable[[_Row], Any]
    """What to sort by; None sorts last."""
    right: bool = False
    least_first: bool = False
    """Sort from small to large first: for names, not for numbers."""
    spare: int = 0
    """How well a narrow terminal can do without it; 0 stays whatever the width."""
    grows: bool = False
    """Takes the room that is left."""


def number_column(
    label: str,
    width: int,
    read: Callable[[_Row], float | None],
    write: Callable[[Any], str],
    *,
    ink: Callable[[_Row], str] | None = None,
    spare: int = 0,
) -> Column[_Row]:
    """Return a column of numbers: at the right, and quiet where there is nothing."""

    def cell(row: _Row) -> Cell:
        number = read(row)
        loud = "plain" if ink is None else ink(row)
        return Cell(write(number), loud if number else "quiet")

    return Column(label=label, width=width, cell=cell, by=read, right=True, spare=spare)


def word_column(
    label: str,
    width: int,
    read: Callable[[_Row], str],
    *,
    ink: Callable[[_Row], str] = lambda _row: "plain",
    spare: int = 0,
    grows: bool = False,
) -> Column[_Row]:
    """Return a column of words."""
    return Column(
        label=label,
        width=width,
        cell=lambda row: Cell(read(row), ink(row)),
        by=read,
        least_first=True,
        spare=spare,
        grows=grows,
    )


def fitted(columns: Sequence[Column[_Row]], room: int) -> list[Column[_Row]]:
    """Leave out what can be spared most until the rest fits; widths hold their own gap."""
    kept = list(columns)
    while sum(column.width for column in kept) > room:
        most = max(kept, key=lambda column: column.spare)
        if not most.spare:
            break
        kept.remove(most)
    left = max(0, room - sum(column.width for column in kept))
    return [replace(c, width=c.width + left) if c.grows else c for c in kept]


class KeyedTable(DataTable[Text], Generic[_Row]):
    """Shows rows in the places of a table, and writes only the cells that changed.

    The places are the table's own rows: a sort moves values between them, and the cursor
    follows the key it was on. When that key is gone the cursor stays where it is, and
    returns to it should it come back before the operator moves on.
    """

    BINDINGS: ClassVar = [
        *keys.bindings("table"),
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, key: Callable[[_Row], str], **options: Any) -> None:
        super().__init__(
            cursor_type="row",
            cursor_foreground_priority="renderable",
            **options,
        )
        self.layout_columns: Sequence[Column[_Row]] = ()
        self.sorted_by: str | None = None
        self.reverse = False
        self._key = key
        self._header: tuple[tuple[str, int], ...] = ()
        self._shown: list[_Row] = []
        self._written: list[list[Cell]] = []
        self._inks: Inks | None = None
        self._home: tuple[str, int] | None = None
        self._waits_at: int | None = None

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        row = self.cursor_value
        return None if row is None else self._key(row)

    @property
    def cursor_value(self) -> _Row | None:
        """The row under the cursor."""
        if not 0 <= self.cursor_row < len(self._shown):
            return None
        return self._shown[self.cursor_row]

    def sort_next(self) -> str:
        """Sort by the next column, after the last by none; returns what it is now."""
        order: list[str | None] = [None, *(c.label for c in self.layout_columns)]
        place = order.index(self.sorted_by) if self.sorted_by in order else 0
        self.sorted_by = order[(place + 1) % len(order)]
        self.reverse = False
        return self.sorted_by or "its own order"

    def fit(self, columns: Sequence[Column[_Row]], room: int) -> None:
        """Use those of these columns that ``room`` characters have place for.

        Their widths hold their own gap, so cells are not padded.
        """
        self.cell_padding = 0
        self.layout_columns = fitted(columns, room - _MARGIN)

    def show(self, rows: Sequence[_Row], inks: Inks, glyphs: Glyphs) -> None:
        """Bring the table to these rows and to ``layout_columns``."""
        self._remember()
        self._bring_header(glyphs)
        if inks is not self._inks:
            self._inks = inks
            self._written = [[] for _ in self._written]
        self._shown = self.in_order(rows)
        self._resize(len(self._shown))
        for place, row in enumerate(self._shown):
            self._write(place, [column.cell(row) for column in self.layout_columns])
        self._follow()

    def go_to(self, key: str) -> None:
        """Put the cursor on the row of a key, if it is shown."""
        keys_shown = [self._key(row) for row in self._shown]
        if key in keys_shown:
            self.move_cursor(row=keys_shown.index(key))

    def _bring_header(self, glyphs: Glyphs) -> None:
        header = tuple(
            (c.label + self._mark(c, glyphs), c.width) for c in self.layout_columns
        )
        if header == self._header:
            return
        self._header = header
        self._written = []
        self.clear(columns=True)
        for column, (label, _) in zip(self.layout_columns, header, strict=True):
            justify: Any = "right" if column.right else "left"
            text = Text(
                label.rjust(column.width) if column.right else label,
                no_wrap=True,
                justify=justify,
            )
            self.add_column(text, width=column.width)

    def _mark(self, column: Column[_Row], glyphs: Glyphs) -> str:
        if column.label != self.sorted_by:
            return ""
        return glyphs.up if column.least_first != self.reverse else glyphs.down

    def in_order(self, rows: Sequence[_Row]) -> list[_Row]:
        """Return the rows as they are sorted."""
        column = next(
            (c for c in self.layout_columns if c.label == self.sorted_by), None
        )
        if column is None:
            return list(rows)[:: -1 if self.reverse else 1]
        by = column.by
        known = [row for row in rows if by(row) is not None]
        known.sort(key=by, reverse=self.reverse == column.least_first)
        return known + [row for row in rows if by(row) is None]

    def _resize(self, count: int) -> None:
        while len(self._written) < count:
            self.add_row(
                *[Text()] * len(self.layout_columns), key=str(len(self._written))
            )
            self._written.append([])
        while len(self._written) > count:
            self._written.pop()
            self.remove_row(str(len(self._written)))

    def _write(self, place: int, cells: list[Cell]) -> None:
        before = self._written[place]
        if before == cells:
            return
        for at, cell in enumerate(cells):
            if at >= len(before) or before[at] != cell:
                self.update_cell_at(Coordinate(place, at), self._text(at, cell))
        self._written[place] = cells

    def _text(self, at: int, cell: Cell) -> Text:
        assert self._inks is not None
        column = self.layout_columns[at]
        text = Text(
            cell.text,
            self._inks[cell.ink],
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
        text.truncate(column.width, overflow="ellipsis")
        return text

    def _remember(self) -> None:
        """Take the cursor's key, unless the cursor only waits for its key to come back."""
        key = self.cursor_key
        if key is not None and self.cursor_row != self._waits_at:
            self._home = (key, self.cursor_row)

    def _follow(self) -> None:
        if self._home is None or not self._shown:
            return
        key, row = self._home
        keys_now = [self._key(shown) for shown in self._shown]
        there = key in keys_now
        place = keys_now.index(key) if there else min(row, len(keys_now) - 1)
        self._waits_at = None if there else place
        if place != self.cursor_row:
            self.move_cursor(row=place)


class OpeningTable(KeyedTable[_Row], Generic[_Row]):
    """A table whose rows can be opened."""

    BINDINGS = keys.bindings("opening_table")
