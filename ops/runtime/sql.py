"""Named SQL beside the Python that runs it.

A file holds blocks that begin with ``-- name --``. The words ``:claimable``,
``:cancellable`` and ``:final`` stand for the lists the lifecycle gives them,
``:lost_leases_at_most`` for its bound, and ``:picked_letters`` for the filter that operations
on dead letters share.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from contracts import lifecycle
from contracts.lifecycle import Status
from contracts.operations import PICKED_LETTERS
from ops.runtime.errors import StatementMissing

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def _sql_list(statuses: Iterable[Status]) -> str:
    return "(" + ", ".join(f"'{status}'" for status in sorted(statuses)) + ")"


_WORDS = {
    ":claimable": _sql_list(lifecycle.CLAIMABLE),
    ":cancellable": _sql_list(lifecycle.CANCELLABLE),
    ":final": _sql_list(lifecycle.FINAL),
    ":lost_leases_at_most": str(lifecycle.LOST_LEASES_AT_MOST),
    ":picked_letters": PICKED_LETTERS,
}


class Statements:
    """The statements of one file, as attributes."""

    def __init__(self, path: Path) -> None:
        parts = _NAME.split(path.read_text())[1:]
        self._path = path
        self._statements = {
            name: _fill_words(text)
            for name, text in zip(parts[::2], parts[1::2], strict=True)
        }

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise StatementMissing(f"{self._path} has no block '{name}'") from None

    def names(self) -> frozenset[str]:
        """Return the name of every block."""
        return frozenset(self._statements)


def _fill_words(text: str) -> str:
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return text.strip()
