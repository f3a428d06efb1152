"""What drills found, as the table of a terminal and of the documentation."""

from collections.abc import Iterable

import msgspec

#: Under this name a test's report carries what its drill found.
PROPERTY = "drill"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One drill that was passed."""

    number: int
    fault: str
    visible: str
    """What told the operator, and where."""
    seconds: float
    """From the fault's effect to its being on the screen."""
    pressed: tuple[str, ...]
    """The keys that were pressed, in order."""
    typed: int
    """The characters that were typed into questions."""


def findings(properties: Iterable[tuple[str, object]]) -> list[Finding]:
    """Read what reports carry, in the order of the drills."""
    found = [
        msgspec.json.decode(str(value), type=Finding)
        for name, value in properties
        if name == PROPERTY
    ]
    return sorted(found, key=lambda finding: finding.number)


def as_text(found: Iterable[Finding]) -> list[str]:
    """Return the lines of a table for a terminal; none where nothing was found."""
    rows = list(found)
    if not rows:
        return []
    lines = [f"{'drill':<42} {'visible':>8} {'keys':>5} {'typed':>6}  pressed"]
    lines += [
        f"{finding.fault:<42} {finding.seconds:>6.2f} s {len(finding.pressed):>5}"
        f" {finding.typed:>6}  {' '.join(finding.pressed)}"
        for finding in rows
    ]
    return lines


def as_markdown(found: Iterable[Finding]) -> str:
    """Return the table as the documentation shows it."""
    lines = [
        "| fault | seen by | seconds to visible | keys to mended | characters typed |",
        "|---|---|---|---|---|",
    ]
    for finding in found:
        keys = " ".join(f"`{key}`" for key in finding.pressed)
        number = len(finding.pressed)
        lines.append(
            f"| {finding.fault} | {finding.visible} | {finding.seconds:.1f}"
            f" | {number}{': ' if number else ''}{keys} | {finding.typed} |"
        )
    return "\n".join(lines)
