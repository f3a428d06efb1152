"""A screen as text: its lines, which colours they have, and what has changed in them.

A golden file has three parts: the lines as one sees them, the colours of each line as runs
(``a12 b3`` is twelve cells of style a, then three of style b), and what each letter means.
A changed colour of a theme so changes one line of the file, a moved column those it moves.
"""

import difflib
import string
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from rich.color import Color
from rich.style import Style
from textual.strip import Strip

GOLDEN = Path(__file__).parent / "golden"

_LETTERS = string.ascii_letters + string.digits
_ATTRIBUTES = ("bold", "dim", "italic", "underline", "strike", "reverse")
_DRAWN_ON_BLANKS = frozenset({"underline", "strike", "reverse"})


def describe(strips: Iterable[Strip]) -> str:
    """Return a screen as the text of a golden file."""
    letters: dict[str, str] = {}
    lines, runs = [], []
    for strip in strips:
        lines.append(strip.text.rstrip())
        runs.append(
            " ".join(
                f"{letters.setdefault(style, _LETTERS[len(letters)])}{len(list(run))}"
                for style, run in groupby(_styles(strip))
            )
        )
    numbered = [f"{number:>2} {run}" for number, run in enumerate(runs, 1)]
    meanings = [f"{letter} {style}" for style, letter in letters.items()]
    parts = (lines, numbered, meanings)
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def difference(name: str, seen: str) -> str:
    """Return what a screen shows other than its golden file; empty when it is the same."""
    path = GOLDEN / f"{name}.txt"
    expected = path.read_text() if path.exists() else ""
    if seen == expected:
        return ""
    lines = difflib.unified_diff(
        expected.splitlines(),
        seen.splitlines(),
        str(path.name),
        "now",
        lineterm="",
        n=1,
    )
    return "\n".join(lines)


def accept(name: str, seen: str) -> None:
    """Make what a screen shows the golden file."""
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.txt").write_text(seen)


def _styles(strip: Strip) -> Iterator[str]:
    """Yield the style of each cell; a blank has that of the cell before where it can."""
    before = ("", "")
    for segment in strip:
        style = segment.style or Style()
        ink, ground = _hex(style.color), _hex(style.bgcolor)
        attributes = [name for name in _ATTRIBUTES if getattr(style, name)]
        drawn = _DRAWN_ON_BLANKS.intersection(attributes)
        words = " ".join([ink, "on", ground, *attributes])
        for character in segment.text:
            if character == " " and not drawn:
                if before[1] != ground:
                    before = (f"blank on {ground}", ground)
            else:
                before = (words, "" if drawn else ground)
            yield before[0]


def _hex(color: Color | None) -> str:
    if color is None or color.is_default:
        return "default"
    return color.get_truecolor().hex
