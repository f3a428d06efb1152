"""What a bench prints."""

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement; rates are per second."""

    name: str
    rate: float
    unit: str
    floor: float | None = None
    floor_name: str = ""
    notes: dict[str, float] = {}
    misses: list[str] = []  #: what was promised of it and not kept

    @property
    def ratio(self) -> float | None:
        """Return the rate as a share of its floor's."""
        return self.rate / self.floor if self.floor else None


def table(figures: list[Figure]) -> str:
    """Lay figures out in columns."""
    rows = [("measured", "rate", "floor", "ratio", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}"
        f"  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    notes = [f"{name} {value:,.1f}" for name, value in figure.notes.items()]
    if figure.floor_name:
        notes.append(f"floor: {figure.floor_name}")
    return (
        figure.name,
        f"{figure.rate:,.0f} {figure.unit}",
        f"{figure.floor:,.0f}" if figure.floor else "",
        f"{figure.ratio:.0%}" if figure.ratio is not None else "",
        "; ".join(notes),
    )
