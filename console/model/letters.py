"""Dead letters as a tree: groups that died of the same, and the letters of those opened."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import msgspec

from console.model.views import View
from contracts.channels import Channel
from contracts.operations import IDS_AT_MOST, LetterFilter
from contracts.outcomes import FailureClass
from ops.letters import Group, Letter


class RowKind(StrEnum):
    """What a row of the tree is."""

    GROUP = "group"
    LETTER = "letter"
    MORE = "more"  #: the place of letters that were not loaded


class LetterRow(View, frozen=True):
    """One row. Of a group ``count`` letters died from ``first`` to ``last``."""

    key: str
    kind: RowKind
    group: str
    channel: str
    class_: str
    reason: str
    count: int
    first: float | None
    last: float | None
    opened: bool = False
    marked: bool = False
    letter: Letter | None = None


class Selection(View, frozen=True):
    """What a key acts on: as a filter for the gateway, and in words."""

    which: LetterFilter
    words: str
    count: int | None
    """How many as far as is known here; the gateway's dry run says it for sure."""
    letters: tuple[Letter, ...] | None = None
    """The letters themselves, where the filter names them one by one."""

    @property
    def single(self) -> bool:
        """Whether it is just one letter."""
        return self.letters is not None and len(self.letters) == 1


class TooManyMarked(Exception):
    """More letters are marked than one request may name."""


@dataclass
class _Branch:
    group: Group
    opened: bool = False
    letters: list[Letter] = field(default_factory=list)
    cursor: UUID | None = None
    begun: bool = False


class LetterTree:
    """The groups of one filter. Nothing here asks anybody: pages are put in as they come."""

    def __init__(self) -> None:
        self.which = LetterFilter()
        self.loaded = False
        self.everything = False
        """Whether all that match are marked, loaded or not."""
        self._branches: dict[str, _Branch] = {}
        self._marks: set[UUID] = set()

    @property
    def total(self) -> int:
        """How many letters the groups have together."""
        return sum(branch.group.count for branch in self._branches.values())

    @property
    def marked(self) -> int:
        """How many letters are marked."""
        return self.total if self.everything else len(self._marks)

    def fill(self, which: LetterFilter, groups: Iterable[Group]) -> None:
        """Take the groups of a filter.

        Those that were open stay so, without their letters; marks are gone with those.
        """
        opened = {key for key, branch in self._branches.items() if branch.opened}
        self._branches = {}
        for group in groups:
            key = key_of(group)
            self._branches[key] = _Branch(group, opened=key in opened)
        self.unmark()
        self.which, self.loaded = which, True

    def toggle(self, group: str) -> bool:
        """Open a group or close it; returns whether its letters are wanted now."""
        branch = self._branches[group]
        branch.opened = not branch.opened
        return branch.opened and not branch.begun

    def wanting(self) -> list[str]:
        """Return the groups that are open and have no letters yet."""
        return [k for k, b in self._branches.items() if b.opened and not b.begun]

    def page_of(self, group: str) -> tuple[LetterFilter, UUID | None]:
        """Return which letters to load next for a group, and from where on."""
        branch = self._branches[group]
        return self.filter_of(group), branch.cursor

    def put(self, group: str, letters: Sequence[Letter], cursor: UUID | None) -> None:
        """Take a page of a group; a group that has gone meanwhile takes none."""
        branch = self._branches.get(group)
        if branch is None:
            return
        known = {letter.id for letter in branch.letters}
        branch.letters += [letter for letter in letters if letter.id not in known]
        branch.cursor, branch.begun = cursor, True

    def filter_of(self, group: str) -> LetterFilter:
        """Return the filter narrowed to one group."""
        cause = self._branches[group].group
        return msgspec.structs.replace(
            self.which,
            channel=Channel(cause.channel),
            class_=FailureClass(cause.class_),
            reason=cause.reason,
        )

    def rows(self) -> list[LetterRow]:
        """Return what is shown, the most frequent group first."""
        rows: list[LetterRow] = []
        for key, branch in self._branches.items():
            rows.append(_group_row(key, branch))
            if not branch.opened:
                continue
            rows += [self._letter_row(key, letter) for letter in branch.letters]
            if not branch.begun or branch.cursor is not None:
                rows.append(_more_row(key, branch))
        return rows

    def mark(self, row: LetterRow) -> None:
        """Mark a letter, or take its mark; of a group, all its letters that are loaded."""
        self.everything = False
        letters = (
            [row.letter.id]
            if row.letter is not None
            else [letter.id for letter in self._branches[row.group].letters]
        )
        if self._marks.issuperset(letters):
            self._marks.difference_update(letters)
        else:
            self._marks.update(letters)

    def mark_everything(self) -> None:
        """Mark all that match, or none."""
        self.everything = not self.everything
        self._marks.clear()

    def unmark(self) -> None:
        """Take all marks."""
        self.everything = False
        self._marks.clear()

    def selection(self, current: LetterRow | None) -> Selection | None:
        """Return what is marked, or else what is under the cursor; raises TooManyMarked."""
        if self.everything:
            return Selection(which=self.which, words="all that match", count=self.total)
        if self._marks:
            if len(self._marks) > IDS_AT_MOST:
                raise TooManyMarked
            marked = [one for one in self._loaded() if one.id in self._marks]
            return _named(marked, f"{len(marked):,} marked")
        if current is None or current.kind is RowKind.MORE:
            return None
        if current.letter is not None:
            return _named([current.letter], str(current.letter.notification_id))
        return Selection(
            which=self.filter_of(current.group),
            words=current.group,
            count=current.count,
        )

    def _loaded(self) -> Iterator[Letter]:
        for branch in self._branches.values():
            yield from branch.letters

    def _letter_row(self, group: str, letter: Letter) -> LetterRow:
        return LetterRow(
            key=str(letter.id),
            kind=RowKind.LETTER,
            group=group,
            channel=letter.channel,
            class_=letter.class_,
            reason=letter.reason,
            count=letter.attempts,
            first=None,
            last=letter.failed_at.timestamp(),
            marked=self.everything or letter.id in self._marks,
            letter=letter,
        )


def _named(letters: Sequence[Letter], words: str) -> Selection:
    return Selection(
        which=LetterFilter(ids=[letter.id for letter in letters]),
        words=words,
        count=len(letters),
        letters=tuple(letters),
    )


def key_of(group: Group) -> str:
    """Return the words for what a group died of."""
    return f"{group.channel} / {group.class_} / {group.reason}"


def _group_row(key: str, branch: _Branch) -> LetterRow:
    group = branch.group
    return LetterRow(
        key=key,
        kind=RowKind.GROUP,
        group=key,
        channel=group.channel,
        class_=group.class_,
        reason=group.reason,
        count=group.count,
        first=group.first.timestamp(),
        last=group.last.timestamp(),
        opened=branch.opened,
    )


def _more_row(key: str, branch: _Branch) -> LetterRow:
    group = branch.group
    return LetterRow(
        key=f"{key} / more",
        kind=RowKind.MORE,
        group=key,
        channel=group.channel,
        class_=group.class_,
        reason=group.reason,
        count=max(0, group.count - len(branch.letters)),
        first=None,
        last=None,
    )
