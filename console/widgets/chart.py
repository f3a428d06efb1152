"""A chart of stacked areas over time, drawn in eighths of a character."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from console import formats
from console.glyphs import Glyphs
from console.picture import Picture
from console.widgets.trend import nice_top

_GUTTER = 7


class Layer(NamedTuple):
    """One area: its ink and its values, oldest first; None is a gap."""

    ink: str
    values: Sequence[float | None]
    fold: Callable[[Sequence[float]], float] = fmean
    """What several seconds in one column come to."""


class StackedChart(Widget):
    """Layers on top of each other, one column a second, the newest at the right."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._layers: Sequence[Layer] = ()
        self._least_top = 10.0
        self._until: int | None = None
        self._picture: Picture | None = None
        self._rows: list[Strip] = []

    def paint(
        self,
        picture: Picture,
        layers: Sequence[Layer],
        least_top: float = 10.0,
        until: int | None = None,
    ) -> None:
        """Draw the layers, the first at the bottom.

        ``until`` is the second after their last value, in any count of seconds: all values
        are shown then, several to a column, and only the newest column changes.
        """
        self._picture, self._layers, self._least_top = picture, layers, least_top
        self._until = until
        self._rows = []
        self.refresh()

    def on_resize(self) -> None:
        """Draw again: other columns fit."""
        self._rows = []

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        if not self._rows:
            self._rows = self._draw()
        if y < len(self._rows):
            return self._rows[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[Strip]:
        width, height = self.size.width - _GUTTER, self.size.height
        if self._picture is None or width <= 0:
            return []
        base = self.rich_style
        inks, glyphs = self._picture.news, self._picture.glyphs
        styles = [base + inks[layer.ink] for layer in self._layers]
        brush = _Brush(base, base + inks["edge"], styles, glyphs)
        layers = self._layers
        if self._until is not None:
            layers = [
                layer._replace(
                    values=folded(layer.values, width, self._until, layer.fold)
                )
                for layer in layers
            ]
        columns = stacked(layers, width)
        highest = max((sum(column) for column in columns if column), default=0.0)
        top = nice_top(highest, self._least_top)
        rows = []
        for row in reversed(range(height)):
            label = formats.count(top) if row == height - 1 else "" if row else "0"
            axis = Segment(
                f"{label.rjust(_GUTTER - 2)} {glyphs.wall}", base + inks["quiet"]
            )
            cells = [brush.cell(column, row, top / height) for column in columns]
            rows.append(Strip([axis, *cells], self.size.width))
        return rows


class _Brush:
    """Draws single characters of a chart."""

    def __init__(
        self, blank: Style, gap: Style, styles: Sequence[Style], glyphs: Glyphs
    ) -> None:
        self._blank = Segment(" ", blank)
        self._gap = Segment(glyphs.gap, gap)
        self._styles = styles
        self._bars = glyphs.bars
        self._plain = glyphs.bars.isascii()

    def cell(self, column: list[float] | None, row: int, unit: float) -> Segment:
        """Draw what lies in a column between ``row`` and the next."""
        if column is None:
            return self._blank if row else self._gap
        if self._plain:
            return self._plain_cell(within(column, row * unit, unit), unit)
        bottom, upper, eighths = cut(column, row * unit, unit)
        if bottom is None:
            return self._blank
        style = self._styles[bottom]
        if upper is not None:
            style += Style(bgcolor=self._styles[upper].color)
        return Segment(self._bars[eighths], style)

    def _plain_cell(self, parts: list[tuple[int, float]], unit: float) -> Segment:
        if sum(amount for _, amount in parts) < unit / 2:
            return self._blank
        largest = max(parts, key=lambda part: part[1])[0]
        return Segment(self._bars[-1], self._styles[largest])


def stacked(layers: Sequence[Layer], width: int) -> list[list[float] | None]:
    """Return the newest ``width`` columns, each the values of all layers, or None for a gap."""
    length = max((len(layer.values) for layer in layers), default=0)
    columns: list[list[float] | None] = [None] * max(0, width - length)
    for at in range(max(0, length - width), length):
        values = [layer.values[at] for layer in layers]
        known = any(value is not None for value in values)
        columns.append([value or 0.0 for value in values] if known else None)
    return columns


def folded(
    values: Sequence[float | None],
    width: int,
    until: int,
    fold: Callable[[Sequence[float]], float],
) -> list[float | None]:
    """Put several seconds into a column, so that all fit into ``width`` columns.

    Columns begin at fixed seconds, so a value never moves from one to another; the oldest
    that would begin in the middle is left out.
    """
    each = -(-len(values) // width) if values else 1
    if each <= 1:
        return list(values)
    start = -(until - len(values)) % each
    columns: list[float | None] = []
    for at in range(start, len(values), each):
        known = [value for value in values[at : at + each] if value is not None]
        columns.append(fold(known) if known else None)
    return columns


def cut(
    column: Sequence[float], floor: float, unit: float
) -> tuple[int | None, int | None, int]:
    """Say what one character shows of a column, from ``floor`` up to ``floor + unit``.

    Returns the layer at its bottom, the layer above that which takes most of the rest (None
    when most of it is empty), and how many eighths the bottom layer fills. With little in it
    a column still shows one eighth: little is not nothing.
    """
    parts = within(column, floor, unit)
    if not parts:
        return None, None, 0
    bottom, amount = parts[0]
    eighths = min(8, round(amount / unit * 8))
    if eighths == 0:
        if len(parts) > 1:
            bottom, amount = parts[1]
            parts = parts[1:]
            eighths = min(8, round(amount / unit * 8))
        if eighths == 0:
            eighths = 1 if floor == 0 else 0
    if eighths == 0:
        return None, None, 0
    empty = unit - sum(inside for _, inside in parts)
    above = max(parts[1:], key=lambda part: part[1], default=None)
    upper = above[0] if above is not None and above[1] > empty else None
    return bottom, upper, eighths


def within(
    column: Sequence[float], floor: float, unit: float
) -> list[tuple[int, float]]:
    """Return which layers lie between ``floor`` and ``floor + unit``, and how much of each."""
    parts: list[tuple[int, float]] = []
    base = 0.0
    for index, value in enumerate(column):
        inside = min(base + value, floor + unit) - max(base, floor)
        if inside > 0:
            parts.append((index, inside))
        base += value
    return parts


def added(series: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Add up series of one length; a moment is a gap when it is one in all of them."""
    sums: list[float | None] = []
    for values in zip(*series, strict=True):
        known = [value for value in values if value is not None]
        sums.append(sum(known) if known else None)
    return sums


def legend(entries: Sequence[tuple[str, str]], glyphs: Glyphs) -> str:
    """Return markup that names layers: theme colour and words of each."""
    mark = glyphs.bars[-1] if glyphs.bars.isascii() else "■"
    return "  ".join(f"[${color}]{mark}[/] {words}" for color, words in entries)
