"""The columns of the tree of dead letters: a row is a group, a letter, or what is not loaded."""

from console import formats
from console.glyphs import Glyphs
from console.model.letters import LetterRow, RowKind
from console.picture import Cell
from console.widgets.keyed_table import Column


def letter_columns(glyphs: Glyphs, now: float) -> list[Column[LetterRow]]:
    """Return the columns; ages are as of ``now``."""
    return [
        Column(
            label="",
            width=2,
            cell=lambda row: Cell("*" if row.marked else "", "accent"),
            by=lambda row: row.group,
            least_first=True,
        ),
        Column(
            label="died of",
            width=24,
            cell=lambda row: _name(row, glyphs),
            by=lambda row: (row.channel, row.class_, row.reason),
            least_first=True,
        ),
        Column(
            label="reason",
            width=24,
            cell=_reason,
            by=lambda row: row.reason,
            least_first=True,
            grows=True,
        ),
        Column(
            label="count",
            width=12,
            cell=_count,
            by=lambda row: row.count,
            right=True,
        ),
        Column(
            label="first",
            width=8,
            cell=lambda row: _age(row.first, now),
            by=lambda row: row.first,
            right=True,
            spare=1,
        ),
        Column(
            label="last",
            width=8,
            cell=lambda row: _age(row.last, now),
            by=lambda row: row.last,
            right=True,
        ),
    ]


def _name(row: LetterRow, glyphs: Glyphs) -> Cell:
    match row.kind:
        case RowKind.GROUP:
            sign = glyphs.opened if row.opened else glyphs.closed
            return Cell(f"{sign} {row.channel} / {row.class_}", row.channel)
        case RowKind.LETTER:
            assert row.letter is not None
            id_ = formats.short_id(str(row.letter.notification_id), glyphs.ellipsis)
            return Cell(f"   {id_} {row.letter.priority}", "plain")
        case RowKind.MORE:
            return Cell("   enter loads more", "note")


def _reason(row: LetterRow) -> Cell:
    if row.letter is not None:
        return Cell(f"{row.letter.failed_at:%Y-%m-%d %H:%M:%SZ}", "quiet")
    return Cell(row.reason if row.kind is RowKind.GROUP else "", "plain")


def _count(row: LetterRow) -> Cell:
    match row.kind:
        case RowKind.GROUP:
            return Cell(formats.count(row.count), "strong")
        case RowKind.LETTER:
            attempts = "attempt" if row.count == 1 else "attempts"
            return Cell(f"{row.count} {attempts}", "quiet")
        case RowKind.MORE:
            return Cell(f"+{row.count:,}", "note")


def _age(moment: float | None, now: float) -> Cell:
    return Cell("" if moment is None else formats.age(now - moment), "quiet")
