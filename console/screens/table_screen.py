"""A screen that is mainly a table: sorted, and saying why it is empty when it is."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual.widget import Widget
from textual.widgets import Static

from console.filters import Fields
from console.glyphs import Glyphs
from console.picture import Picture
from console.screens.mesh_screen import ListScreen
from console.sentences import emptiness
from console.widgets.keyed_table import Column, KeyedTable

_Row = TypeVar("_Row")

#: Makes all columns of a table, of which those are shown that there is room for.
Columns = Callable[[Glyphs], Sequence[Column[Any]]]


class TableScreen(ListScreen[_Row], Generic[_Row]):
    """Its table and the line that stands in for it when no row is shown."""

    def __init__(self, fields: Fields[_Row], columns: Columns) -> None:
        super().__init__(fields)
        self._columns = columns
        self._columns_of: tuple[Glyphs, Sequence[Column[Any]]] | None = None

    rows: ClassVar[str]
    """What a row is, in the plural."""
    none_exist: ClassVar[str]
    """What to say when there are none at all."""

    @property
    @abstractmethod
    def table(self) -> KeyedTable[_Row]:
        """The table that keys work on."""

    def list_widget(self) -> Widget:
        """Return the table."""
        return self.table

    def current(self) -> _Row | None:
        """Return the row under the cursor."""
        return self.table.cursor_value

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.table.sort_next()
        self.redraw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.table.reverse = not self.table.reverse
        self.redraw()

    def show_rows(self, picture: Picture, rows: Sequence[_Row]) -> None:
        """Show the chosen of these rows, or say why there are none."""
        self.fill(self.table, picture, self.chosen(rows), any_exist=bool(rows))

    def fill(
        self,
        table: KeyedTable[Any],
        picture: Picture,
        chosen: Sequence[Any],
        *,
        any_exist: bool,
    ) -> None:
        """Show these rows in a table, or say why there are none."""
        table.fit(self._made(picture.glyphs), self.app.size.width)
        table.show(chosen, picture.news, picture.glyphs)
        empty = self.query_one("#empty", Static)
        empty.display = not chosen
        if not chosen:
            reduced = self.reduction() if any_exist else ""
            words = emptiness(picture.link, self.rows, self.none_exist, reduced)
            empty.update(words)

    def _made(self, glyphs: Glyphs) -> Sequence[Column[Any]]:
        if self._columns_of is None or self._columns_of[0] is not glyphs:
            self._columns_of = glyphs, self._columns(glyphs)
        return self._columns_of[1]
