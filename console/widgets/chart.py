"""A chart of stacked areas over time, drawn in eighths of a character."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from console import formats
from console.glyphs import Glyphs
from console.picture import Picture
from console.themes import Inks
from console.widgets.trend import nice_top

_GUTTER = 7
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class Layer(NamedTuple):
    """One area: its ink and its values, oldest first; None is a gap."""

    ink: str
    values: Sequence[float | None]


class StackedChart(Widget):
    """Layers on top of each other, one column a second, the newest at the right."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._layers: Sequence[Layer] = ()
        self._inks: Inks | None = None
        self._glyphs: Glyphs | None = None
        self._least_top = 10.0

    def paint(
        self, picture: Picture, layers: Sequence[Layer], least_top: float = 10.0
    ) -> None:
        """Draw the layers, the first at the bottom."""
        self._layers, self._least_top = layers, least_top
        self._inks, self._glyphs = picture.news, picture.glyphs
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width, height = self.size.width - _GUTTER, self.size.height
        if self._inks is None or width <= 0:
            return Strip.blank(self.size.width, self.rich_style)
        columns = stacked(self._layers, width)
        highest = max((sum(column) for column in columns if column), default=0.0)
        top = nice_top(highest, self._least_top)
        row = height - 1 - y
        segments = [self._axis(y, top)]
        segments += [self._cell(column, row, top / height) for column in columns]
        return Strip(segments, self.size.width)

    def _axis(self, y: int, top: float) -> Segment:
        assert self._inks is not None
        label = ""
        if y == 0:
            label = formats.count(top)
        elif y == self.size.height - 1:
            label = "0"
        text = f"{label.rjust(_GUTTER - 2)} {self._wall()}"
        return Segment(text, self.rich_style + self._inks["quiet"])

    def _wall(self) -> str:
        return "|" if self._ascii() else "│"

    def _ascii(self) -> bool:
        return self._glyphs is not None and self._glyphs.bars.isascii()

    def _cell(self, column: list[float] | None, row: int, unit: float) -> Segment:
        assert self._inks is not None
        blank = self.rich_style
        if column is None:
            gap = self._glyphs.gap if self._glyphs and row == 0 else " "
            return Segment(gap, blank + self._inks["edge"])
        if self._ascii():
            return self._plain_cell(column, row * unit, unit)
        bottom, upper, eighths = cut(column, row * unit, unit)
        if bottom is None:
            return Segment(" ", blank)
        style = blank + self._inks[self._layers[bottom].ink]
        if upper is not None:
            color = self._inks[self._layers[upper].ink].color
            style += Style(bgcolor=color)
        return Segment(_EIGHTHS[eighths], style)

    def _plain_cell(self, column: list[float], floor: float, unit: float) -> Segment:
        assert self._inks is not None
        parts = within(column, floor, unit)
        if sum(amount for _, amount in parts) < unit / 2:
            return Segment(" ", self.rich_style)
        largest = max(parts, key=lambda part: part[1])[0]
        return Segment("#", self.rich_style + self._inks[self._layers[largest].ink])


def stacked(layers: Sequence[Layer], width: int) -> list[list[float] | None]:
    """Return the newest ``width`` columns, each the values of all layers, or None for a gap."""
    length = max((len(layer.values) for layer in layers), default=0)
    columns: list[list[float] | None] = [None] * max(0, width - length)
    for at in range(max(0, length - width), length):
        values = [layer.values[at] for layer in layers]
        known = any(value is not None for value in values)
        columns.append([value or 0.0 for value in values] if known else None)
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
