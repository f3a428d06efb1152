"""What happened to one notification, and how long it waited in between."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from console import keys, lookups
from console.keys import Key, Level
from console.operator import (
    Found,
    FoundList,
    GatewayError,
    Operator,
    Sought,
    Trace,
    Unreachable,
)
from console.picture import Picture
from console.screens.cancelling import against_cancelling, cancelling
from console.screens.mesh_screen import Export, MeshScreen
from console.screens.trace_columns import (
    STATUS_INKS,
    Step,
    found_columns,
    ink_of,
    step_columns,
    steps,
    time_of,
)
from console.widgets.keyed_table import KeyedTable
from console.widgets.orders import Orders
from contracts.channels import Lane
from contracts.lifecycle import FINAL
from ops import timeline


class TraceScreen(MeshScreen):
    """One notification; or those that were found, to choose one from."""

    scope = "trace"
    BINDINGS = keys.bindings("trace")

    def __init__(self) -> None:
        super().__init__()
        self._sought: Sought | None = None
        self._found: list[Found] = []
        self._shown: Found | None = None
        self._trace: Trace | None = None
        self._heard = 0
        self._words = ""
        self._chosen_from: tuple[Sought, str] | None = None
        self._trouble = ""
        self._was_away = ""
        self._visited: list[UUID] = []
        self._place = -1

    def parts(self) -> ComposeResult:
        """Make the question, the heading, the tables and the detail."""
        with Horizontal(id="seek"):
            yield Static("look up", id="seek-mark")
            yield Input(
                placeholder="id, idempotency key, recipient or its hash",
                id="seek-input",
                compact=True,
            )
        yield Static("", id="trace-heading", markup=False)
        yield Orders(id="orders")
        yield KeyedTable[Found](key=lambda one: str(one.id), id="found-table")
        yield KeyedTable[Step](key=lambda step: str(step.number), id="trace-table")
        yield Static("", id="empty", markup=False)
        yield Static("", id="trace-detail", classes="panel", markup=False)

    def on_mount(self) -> None:
        """Start with the question."""
        self._input.cursor_blink = False
        self._input.focus()

    def seek(self, text: str = "") -> None:
        """Ask what to look up, or look it up when it is known."""
        self._input.value = text
        self._input.focus()
        if text:
            self._begin(lookups.read_sought(text), new=True)

    def look_again(self) -> None:
        """Look up again what is shown."""
        if self._sought is not None:
            self._trouble = ""
            self._look(self._sought, new=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look up what was typed."""
        event.stop()
        self._begin(lookups.read_sought(event.value), new=True)

    def on_data_table_row_selected(self) -> None:
        """Show the one that was chosen."""
        if self._shown is None and (one := self._choice.cursor_value) is not None:
            self._begin(Sought(id=one.id), new=True, chosen=True)

    def on_data_table_row_highlighted(self) -> None:
        """Tell more of the step under the cursor."""
        if self.picture is not None:
            self._draw_detail(self.picture)

    def action_back(self) -> None:
        """Go one step back: to what was found, then to where one came from."""
        if self._shown is not None and self._chosen_from is not None:
            self._shown = self._trace = None
            self._sought, self._words = self._chosen_from
            self.redraw()
            self._choice.focus()
        else:
            self.post_message(self.Left())

    def action_earlier(self) -> None:
        """Go back to the notification before."""
        self._revisit(self._place - 1)

    def action_later(self) -> None:
        """Go forward again."""
        self._revisit(self._place + 1)

    def action_copy(self) -> None:
        """Copy the notification's id."""
        if self._subject is not None:
            self.copy(str(self._subject), str(self._subject))

    def action_copy_row(self) -> None:
        """Copy the notification with its trace as JSON."""
        if self._trace is not None:
            self.copy_json(self._document, f"{self._subject} as JSON")

    def action_cancel(self) -> None:
        """Call the notification back."""
        one, operator = self._shown, self._operator
        if one is not None and operator is not None:
            lane = f"{one.channel}/{one.priority}"
            self.propose(cancelling(one.id, lane, one.status, operator))

    def exports(self) -> Iterable[Export]:
        """Offer the notification with its trace."""
        if self._trace is None:
            return ()
        return self.export(self._document, str(self._subject))

    def illegal(self, key: Key) -> str:
        """Say why a key makes no sense here."""
        if key.id == "earlier" and self._place < 1:
            return "nothing was looked at before"
        if key.id == "later" and self._place + 1 >= len(self._visited):
            return "nothing was looked at after"
        if key.level > Level.READ:
            if self._shown is None:
                return "no notification is shown"
            return against_cancelling(self._shown.status)
        return ""

    def draw(self, picture: Picture) -> None:
        """Draw what is known, and look again where there is news of it."""
        self._look_again(picture)
        trace, width = self._trace, self.app.size.width
        choosing = trace is None and len(self._found) > 1
        self._choice.display = choosing
        self._table.display = trace is not None
        if choosing:
            self._choice.layout_columns = found_columns(width)
            self._choice.show(self._found, picture.inks, picture.glyphs)
        if trace is not None:
            now = datetime.fromtimestamp(picture.now, UTC)
            status = "" if self._shown is None else self._shown.status
            self._table.layout_columns = step_columns(picture.glyphs, width)
            self._table.show(steps(trace, status, now), picture.inks, picture.glyphs)
        self._draw_heading(picture)
        self._draw_orders(picture)
        self._draw_words(picture)
        self._draw_detail(picture)

    @property
    def _input(self) -> Input:
        return self.query_one("#seek-input", Input)

    @property
    def _table(self) -> KeyedTable[Step]:
        return self.query_one("#trace-table", KeyedTable)

    @property
    def _choice(self) -> KeyedTable[Found]:
        return self.query_one("#found-table", KeyedTable)

    @property
    def _subject(self) -> UUID | None:
        return None if self._trace is None else self._trace.notification_id

    @property
    def _operator(self) -> Operator | None:
        return None if self.picture is None else self.picture.acting.operator

    @property
    def _document(self) -> dict[str, object]:
        return {"notification": self._shown, "trace": self._trace}

    def _revisit(self, place: int) -> None:
        if 0 <= place < len(self._visited):
            self._place = place
            self._input.value = str(self._visited[place])
            self._begin(Sought(id=self._visited[place]), new=False)

    def _begin(self, sought: Sought | None, *, new: bool, chosen: bool = False) -> None:
        if sought is None or self.picture is None:
            return
        self._sought = sought
        self._trouble = ""
        self._words = f"looking for {lookups.in_words(sought)}"
        if sought.id is None or sought.id != self._subject:
            self._shown = self._trace = None
        if not chosen:
            self._found, self._chosen_from = [], None
        self._look(sought, new=new)
        self.redraw()

    @work(exclusive=True, exit_on_error=False, group="trace")
    async def _look(self, sought: Sought, *, new: bool) -> None:
        operator, picture = self._operator, self.picture
        assert picture is not None
        if operator is None:
            self._failed(sought, f"No gateway to ask: {picture.acting.trouble}")
            return
        try:
            found = await operator.find(sought)
            if len(found.items) == 1:
                one = found.items[0]
                trace = await operator.trace(one.id)
                self._arrived(one, trace, new=new)
                return
        except Unreachable as error:
            self._failed(sought, f"No gateway answers: {error}")
            return
        except GatewayError as error:
            self._failed(sought, str(error))
            return
        self._trouble = ""
        self._found = found.items
        self._words = _found_words(sought, found)
        self._chosen_from = (sought, self._words) if found.items else None
        self.redraw()
        if found.items:
            self._choice.focus()

    def _arrived(self, one: Found, trace: Trace, *, new: bool) -> None:
        self._shown, self._trace, self._trouble = one, trace, ""
        if one.id not in {found.id for found in self._found}:
            self._found = [one]
        if new and self._visited[self._place : self._place + 1] != [one.id]:
            self._visited[self._place + 1 :] = [one.id]
            self._place += 1
        if self.picture is not None:
            self._heard = self._sequence(self.picture)
        self.redraw()
        self.bring_keys()
        if new:
            self._table.move_cursor(row=len(trace.entries) - 1)
            self._table.focus()

    def _failed(self, sought: Sought, why: str) -> None:
        """Say why it is not known, and show what the feed told."""
        self._trouble = why
        if sought.id is not None and self._shown is None and self.picture is not None:
            changes = lookups.changes_of(sought.id, self.picture.snapshot.feed)
            if changes:
                self._trace = lookups.heard_trace(sought.id, changes)
        self.redraw()

    def _look_again(self, picture: Picture) -> None:
        """Look again when the notification has moved on, or the gateway is back."""
        was_away, self._was_away = self._was_away, picture.acting.trouble
        if self._trouble:
            if was_away and not self._was_away:
                self.look_again()
        elif (
            self._shown is not None and (heard := self._sequence(picture)) > self._heard
        ):
            self._heard = heard
            self._look(Sought(id=self._shown.id), new=False)

    def _sequence(self, picture: Picture) -> int:
        if self._subject is None:
            return 0
        changes = lookups.changes_of(self._subject, picture.snapshot.feed)
        return changes[-1].sequence if changes else 0

    def _draw_heading(self, picture: Picture) -> None:
        heading = self.query_one("#trace-heading", Static)
        text, inks, one = (
            Text(no_wrap=True, overflow="ellipsis"),
            picture.inks,
            self._shown,
        )
        if one is not None:
            now = datetime.fromtimestamp(picture.now, UTC)
            text.append(f" {one.id}  ", inks["strong"])
            ink = STATUS_INKS.get(one.status, "plain")
            text.append(f"{timeline.standing(one, now)}\n", inks[ink])
            text.append(f" {one.channel}/{one.priority} ", inks[one.channel])
            for name, value in _facts(one):
                text.append(f" {name} ", inks["quiet"]).append(f"{value} ")
        elif self._trace is not None:
            text.append(f" {self._subject}\n", inks["strong"])
            text.append(
                " only what the feed told while the console listened", inks["warn"]
            )
        heading.update(text)

    def _draw_orders(self, picture: Picture) -> None:
        """Say what operators ordered that may hold up what is shown."""
        orders, one = self.query_one(Orders), self._shown
        if one is None or one.status in FINAL:
            orders.display = False
        else:
            orders.paint(picture, Lane(one.channel, one.priority))

    def _draw_words(self, picture: Picture) -> None:
        empty = self.query_one("#empty", Static)
        words = self._words if self._trace is None else ""
        if self._trouble:
            words = self._trouble
        elif self._sought is None:
            words = "Type an id, an idempotency key, a recipient, or its hash."
        empty.display = bool(words)
        empty.update(Text(words, picture.inks["warn" if self._trouble else "quiet"]))

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#trace-detail", Static)
        step = self._table.cursor_value if self._trace is not None else None
        detail.display = step is not None
        if step is None:
            return
        detail.border_title = f"{step.line.event}  {time_of(step.line.at)}"
        text = Text(
            step.line.words or "nothing more is known", picture.inks[ink_of(step)]
        )
        for name, value in (step.entry.details or {}).items() if step.entry else ():
            text.append(f"\n{name:<14}", picture.inks["quiet"])
            text.append(str(value), picture.inks["plain"])
        detail.update(text)


def _facts(one: Found) -> Iterable[tuple[str, object]]:
    facts = {
        "to": one.recipient,
        "key": one.idempotency_key,
        "template": one.template_id,
        "batch": one.batch_id,
        "via": one.provider,
        "why": one.failure_reason,
        "hash": one.recipient_hash,
    }
    return [(name, value) for name, value in facts.items() if value]


def _found_words(sought: Sought, found: FoundList) -> str:
    since = found.searched_from
    far = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    sought_words = f"{lookups.in_words(sought)}{far}"
    if found.items:
        return f"{len(found.items)} with {sought_words}; enter shows one."
    return f"There is no notification with {sought_words}."
