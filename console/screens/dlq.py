"""Dead letters, by what they died of; to be looked at, taken away, replayed or discarded."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.widgets import Input, Static

from console import formats, keys
from console.exports import save_letters
from console.keys import Key
from console.letter_filters import completions, read_letter_filter
from console.model.letters import (
    LetterRow,
    LetterTree,
    RowKind,
    Selection,
    TooManyMarked,
)
from console.model.views import ActionState
from console.operator import GatewayError, Operator, Unreachable
from console.picture import Picture
from console.screens.letter_changes import discarding, replaying
from console.screens.letter_columns import letter_columns
from console.screens.table_screen import TableScreen
from console.widgets.filter_bar import FilterBar
from console.widgets.letter_table import LetterTable
from contracts.operations import LetterFilter
from contracts.oversight import Action

PAGE = 200
_REQUEST = 100
#: Typing goes on for at least as long between two keys.
_TYPING_SECONDS = 0.25
#: A gateway that came back is asked again after this long.
_AGAIN_SECONDS = 2.0
#: Columns kept free between the ages and the scrollbar.
_BESIDE_SCROLLBAR = 1
_CHANGES = frozenset({Action.LETTERS_REPLAYED, Action.LETTERS_DISCARDED})
_KEYS = frozenset({"replay", "discard"})


class DlqScreen(TableScreen[LetterRow]):
    """A tree of groups and letters. It holds still until it is asked to look again."""

    scope = "dlq"
    rows = "dead letters"
    none_exist = "There are no dead letters."
    BINDINGS = keys.bindings("dlq")

    def __init__(self) -> None:
        super().__init__({}, lambda glyphs: letter_columns(glyphs, self._now))
        self._tree = LetterTree()
        self._which = LetterFilter()
        self._asking = False
        self._trouble = ""
        self._was_away = False
        self._asked_at = 0.0
        self._dead_then: int | None = None
        self._changes_then = 0

    def parts(self) -> ComposeResult:
        """Make title, tree, detail and filter."""
        yield Static("", id="dlq-title")
        yield LetterTable(id="letter-table")
        yield Static("", id="empty", markup=False)
        yield Static("", id="letter-detail", classes="panel", markup=False)
        yield FilterBar(completions(), hint="channel:sms class:permanent age:<2h")

    @property
    def table(self) -> LetterTable:
        """The tree."""
        return self.query_one(LetterTable)

    def id_of(self, row: LetterRow) -> str:
        """Return the notification's id, or what a group died of."""
        return row.group if row.letter is None else str(row.letter.notification_id)

    def is_trouble(self, _row: LetterRow) -> bool:
        """Every dead letter is."""
        return True

    def reduction(self) -> str:
        """Say what hides letters."""
        narrowed = self._which != LetterFilter()
        return f"match {self.query_one(FilterBar).text!r}" if narrowed else ""

    def draw(self, picture: Picture) -> None:
        """Draw what was looked up, and look up when there is reason to."""
        self._look_when_due(picture)
        rows = self._tree.rows()
        self.query_one("#dlq-title", Static).update(self._title(picture), layout=False)
        columns = letter_columns(picture.glyphs, picture.now)
        self.table.fit(columns, self.app.size.width - _BESIDE_SCROLLBAR)
        self.table.show(rows, picture.inks, picture.glyphs)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        if not rows:
            empty.update(self._nothing(picture))
        bar = self.query_one(FilterBar)
        bar.note(self._unclear, wrong=bool(self._unclear))
        bar.show_while(False)
        self._draw_detail(picture)

    def look_again(self) -> None:
        """Ask the gateway again."""
        self._look()

    def illegal(self, key: Key) -> str:
        """Say why nothing can be done to what is selected."""
        if key.id not in _KEYS:
            return super().illegal(key)
        try:
            chosen = self._tree.selection(self._row)
        except TooManyMarked:
            return "too many are marked: narrow the filter and mark all"
        return "" if chosen is not None else "no dead letter is selected"

    def action_open(self) -> None:
        """Open or close a group, load more of it, or show what happened to a letter."""
        row = self._row
        if row is None:
            return
        if row.letter is not None:
            self.post_message(self.Seek(str(row.letter.notification_id)))
        elif row.kind is RowKind.MORE or self._tree.toggle(row.group):
            self._load(row.group)
        self.redraw()

    def on_data_table_row_selected(self) -> None:
        """Open what was clicked."""
        self.action_open()

    def on_data_table_row_highlighted(self) -> None:
        """Tell more of what is under the cursor."""
        self.bring_keys()
        if self.picture is not None:
            self._draw_detail(self.picture)

    def action_mark(self) -> None:
        """Mark what is under the cursor, and go on to the next row."""
        row = self._row
        if row is not None:
            self._tree.mark(row)
            if row.letter is not None:
                self.table.action_cursor_down()
        self._marked()

    def action_mark_all(self) -> None:
        """Mark all that match, loaded or not, or none."""
        self._tree.mark_everything()
        self._marked()

    def action_back(self) -> None:
        """Go one step back: the marks, then the filter."""
        if self._tree.marked and not self.query_one(Input).has_focus:
            self._tree.unmark()
            self._marked()
        else:
            super().action_back()

    def action_replay(self) -> None:
        """Have what is marked, or under the cursor, sent again."""
        chosen, operator = self._chosen, self._operator
        if chosen is not None and operator is not None:
            self.propose(replaying(chosen, self._filter_text, operator))

    def action_discard(self) -> None:
        """Have what is marked, or under the cursor, put away for good."""
        chosen, operator = self._chosen, self._operator
        if chosen is not None and operator is not None:
            change = discarding(chosen, self._filter_text, operator, self._save)
            self.propose(change)

    def action_export(self) -> None:
        """Write what is marked, or else all that match, to a file."""
        everything = Selection(
            which=self._which, words="all that match", count=self._tree.total
        )
        marked = self._tree.marked and self._chosen
        self._export(marked or everything)

    def narrow(self, text: str) -> None:
        """Ask for what matches, once typing pauses."""
        which = read_letter_filter(text, self._moment)
        if which != self._which:
            self._which = which
            self._look(_TYPING_SECONDS)

    @property
    def _row(self) -> LetterRow | None:
        return self.table.cursor_value

    @property
    def _chosen(self) -> Selection | None:
        return self._tree.selection(self._row)

    @property
    def _filter_text(self) -> str:
        return self.query_one(FilterBar).text if self.reduction() else ""

    @property
    def _operator(self) -> Operator | None:
        return None if self.picture is None else self.picture.acting.operator

    @property
    def _now(self) -> float:
        return 0.0 if self.picture is None else self.picture.now

    @property
    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now, UTC)

    def _marked(self) -> None:
        self.redraw()
        self.bring_keys()

    def _look_when_due(self, picture: Picture) -> None:
        """Look when nothing was looked up yet, and after what operators did to letters."""
        changes = sum(
            action.state is not ActionState.PENDING
            for action in picture.snapshot.actions
            if action.action in _CHANGES
        )
        changed, self._changes_then = changes > self._changes_then, changes
        first = not self._tree.loaded and not self._trouble
        back = self._was_away and picture.now - self._asked_at > _AGAIN_SECONDS
        news = self._tree.loaded and not self._tree.total and self._new(picture) > 0
        if not self._asking and (changed or first or back or news):
            self._look()

    def _new(self, picture: Picture) -> int:
        """Return how many letters the bus has got since this was looked up."""
        dead = picture.snapshot.totals.dead_letters
        if dead is None or self._dead_then is None:
            return 0
        return max(0, dead - self._dead_then)

    @work(exclusive=True, group="letters", exit_on_error=False)
    async def _look(self, pause_seconds: float = 0.0) -> None:
        """Ask for the groups, and for the letters of those that are open."""
        await asyncio.sleep(pause_seconds)
        operator, picture = self._operator, self.picture
        if operator is None or picture is None:
            return
        self._asking, self._asked_at = True, picture.now
        dead = picture.snapshot.totals.dead_letters
        which = self._which
        try:
            groups = await operator.letter_groups(which)
            self._tree.fill(which, groups)
            for group in self._tree.wanting():
                await self._put(operator, group)
        except GatewayError as error:
            self._trouble, self._was_away = str(error), isinstance(error, Unreachable)
        else:
            self._trouble, self._was_away, self._dead_then = "", False, dead
        finally:
            self._asking = False
        self._marked()

    @work(exit_on_error=False)
    async def _load(self, group: str) -> None:
        """Load the next page of a group."""
        operator = self._operator
        if operator is None:
            return
        try:
            await self._put(operator, group)
        except GatewayError as error:
            self.notify(f"not loaded: {error}", severity="warning", markup=False)
        self._marked()

    async def _put(self, operator: Operator, group: str) -> None:
        which, cursor = self._tree.page_of(group)
        for _ in range(PAGE // _REQUEST):
            page = await operator.letters(which, limit=_REQUEST, cursor=cursor)
            cursor = page.next_cursor
            self._tree.put(group, page.items, cursor)
            if cursor is None:
                return

    async def _save(self, chosen: Selection) -> str:
        operator = self._operator
        assert operator is not None
        return str(await save_letters(operator, chosen, Path.cwd(), self._moment))

    @work(exit_on_error=False)
    async def _export(self, chosen: Selection) -> None:
        if self._operator is None:
            self.notify("no gateway to export from", severity="warning")
            return
        try:
            path = await self._save(chosen)
        except (GatewayError, OSError) as error:
            self.notify(f"not exported: {error}", severity="warning", markup=False)
        else:
            self.notify(f"exported to {path}", markup=False)

    def _nothing(self, picture: Picture) -> str:
        if self._trouble:
            return f"Not known: {self._trouble}. r asks again."
        if picture.acting.operator is None:
            return f"Dead letters come through a gateway: {picture.acting.trouble}."
        if not self._tree.loaded:
            return "Asking the gateway."
        reduced = self.reduction()
        return (
            f"No dead letters {reduced}; esc shows all." if reduced else self.none_exist
        )

    def _title(self, picture: Picture) -> Text:
        inks, tree = picture.inks, self._tree
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        if not tree.loaded:
            return text.append("dead letters", inks["quiet"])
        text.append(f"{tree.total:,} open", inks["strong"])
        groups = sum(row.kind is RowKind.GROUP for row in tree.rows())
        text.append(f" in {groups:,} groups" if groups != 1 else " in 1 group")
        if tree.marked:
            words = "all" if tree.everything else f"{tree.marked:,}"
            text.append(f"   {words} marked", inks["accent"])
        if new := self._new(picture):
            text.append(f"   {new:,} new, r shows them", inks["bad"])
        if self._trouble:
            return text.append(f"   old: {self._trouble}", inks["bad"])
        age = picture.now - self._asked_at
        return text.append(f"   asked {formats.age(age)} ago", inks["quiet"])

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#letter-detail", Static)
        row = self._row if self._tree.loaded else None
        detail.display = row is not None
        if row is not None:
            detail.border_title = "dead letter" if row.letter else "group"
            detail.update(_detail(row, picture))


def _detail(row: LetterRow, picture: Picture) -> Text:
    inks = picture.inks
    text = Text()
    parts: Sequence[tuple[str, str]]
    if row.letter is not None:
        letter = row.letter
        parts = (
            ("", str(letter.notification_id)),
            ("", f"{letter.channel}/{letter.priority}"),
            ("attempts ", str(letter.attempts)),
            ("failed ", f"{letter.failed_at:%Y-%m-%d %H:%M:%SZ}"),
        )
    else:
        first, last = _day(row.first), _day(row.last)
        parts = (("", f"{row.count:,}"), ("from ", first), ("to ", last))
    for name, value in parts:
        text.append(f"{name}", inks["quiet"]).append(f"{value}   ", inks["plain"])
    text.append(f"\n{row.class_}: ", inks["quiet"]).append(row.reason, inks["plain"])
    if row.letter is not None:
        text.append("\nRecipient and content stay in the ledger.", inks["quiet"])
    return text


def _day(moment: float | None) -> str:
    if moment is None:
        return formats.UNSAID
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%SZ}"
