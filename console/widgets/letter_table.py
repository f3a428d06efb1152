"""The tree of dead letters as a table: groups are sorted, and letters stay with theirs."""

from collections.abc import Sequence
from typing import Any

from console.model.letters import LetterRow, RowKind
from console.widgets.keyed_table import OpeningTable


class LetterTable(OpeningTable[LetterRow]):
    """Groups, and below each that is open its letters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(key=lambda row: row.key, **options)

    def in_order(self, rows: Sequence[LetterRow]) -> list[LetterRow]:
        """Sort the groups; the letters of a group keep their own order below it."""
        below: dict[str, list[LetterRow]] = {}
        heads = [row for row in rows if row.kind is RowKind.GROUP]
        for row in rows:
            if row.kind is not RowKind.GROUP:
                below.setdefault(row.group, []).append(row)
        return [
            row
            for head in super().in_order(heads)
            for row in (head, *below.get(head.group, ()))
        ]
