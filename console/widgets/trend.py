"""Trends in one line of text."""

import math
from collections.abc import Sequence

from console.glyphs import Glyphs


def trend(
    values: Sequence[float | None], width: int, top: float, glyphs: Glyphs
) -> str:
    """Draw the newest values in ``width`` columns, scaled so that ``top`` is full.

    Several values share a column by their mean; a column is a gap when all of its values
    are gaps.
    """
    if not values or width <= 0:
        return ""
    each = max(1, -(-len(values) // width))
    start = len(values) % each
    groups = [values[:start]] if start else []
    groups += [values[at : at + each] for at in range(start, len(values), each)]
    return "".join(glyphs.bar(_mean(group), top) for group in groups[-width:])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def nice_top(highest: float, least: float = 10.0) -> float:
    """Return a round number no smaller than ``highest``: 1, 2, 3 or 5 times a power of ten.

    Never below ``least``, or an idle lane would look busy.
    """
    if highest <= least:
        return least
    unit = 10.0 ** math.floor(math.log10(highest))
    return next(unit * step for step in (1, 2, 3, 5, 10) if unit * step >= highest)
