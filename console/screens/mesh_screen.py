"""What every screen has: the status line, a banner when news is old, filters, the footer."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import msgspec
import yaml
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from console import keys
from console.changes import Change
from console.filters import Fields, Filter, FilterUnclear
from console.keys import Key, Level
from console.picture import Picture
from console.widgets.filter_bar import FilterBar
from console.widgets.status_bar import Banner, StatusBar

_Row = TypeVar("_Row")

#: Terminals cut off longer copies (OSC 52).
LONGEST_COPY = 74_994


@dataclass(frozen=True, kw_only=True)
class Export:
    """One way to take away what a screen shows."""

    label: str
    says: str
    do: Callable[[], None]


class MeshScreen(Screen[None]):
    """A screen that is painted from pictures, four times a second at most."""

    scope: ClassVar[str]
    """The name its keys are found under."""

    picture: Picture | None = None
    """What it was last painted from."""

    _greyed: tuple[bool, ...] | None = None

    class Proposed(Message):
        """The operator wants to change something."""

        def __init__(self, change: Change) -> None:
            self.change = change
            super().__init__()

    class Seek(Message):
        """The operator wants to look a notification up; without a text, to be asked."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Left(Message):
        """The operator wants to go back to where the look-up began."""

    def compose(self) -> ComposeResult:
        """Put the screen's own parts between the status line and the footer."""
        yield StatusBar(id="status")
        yield Banner(id="banner")
        yield from self.parts()
        yield Footer(compact=True, show_command_palette=False)

    @abstractmethod
    def parts(self) -> ComposeResult:
        """Make the screen's own widgets."""

    @abstractmethod
    def draw(self, picture: Picture) -> None:
        """Bring the screen's own widgets to the picture."""

    def paint(self, picture: Picture) -> None:
        """Draw everything. Old news is dimmed, never cleared."""
        if self._greyed is None:
            self._greyed = self._greyed_now()  # as the footer was made, knowing nothing
        self.picture = picture
        self.set_class(picture.link.stale, "-stale")
        self.set_class(picture.glyphs.bars.isascii(), "-ascii")
        self.query_one(StatusBar).paint(picture)
        self.query_one(Banner).paint(picture)
        self.draw(picture)
        self.bring_keys()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot be done now: its key does nothing."""
        key = keys.of_action(action, self.scope)
        return None if key is not None and self.reason_against(key) else True

    def reason_against(self, key: Key) -> str:
        """Say why a key does nothing now; empty when it works."""
        if key.level is Level.READ:
            return self.illegal(key)
        picture = self.picture
        if picture is None:
            return "nothing is known yet"
        hindrance = picture.acting.hindrance(key.level, picture.place, picture.link)
        return hindrance or self.illegal(key)

    def illegal(self, _key: Key) -> str:
        """Say why a key makes no sense for what is selected."""
        return ""

    def bring_keys(self) -> None:
        """Bring the footer to what can be done now."""
        greyed = self._greyed_now()
        if greyed != self._greyed:
            self._greyed = greyed
            self.refresh_bindings()

    def _greyed_now(self) -> tuple[bool, ...]:
        keys_here = keys.in_scope(self.scope)
        return tuple(bool(self.reason_against(key)) for key in keys_here)

    def look_again(self) -> None:
        """Ask again for what the screen looked up; most look nothing up."""

    def exports(self) -> Iterable[Export]:
        """Offer what can be taken away from here; the palette lists it."""
        return ()

    def export(self, value: object, what: str) -> Iterable[Export]:
        """Offer a value as JSON and as YAML."""
        plain = msgspec.to_builtins(value)
        return (
            Export(
                label="copy as JSON",
                says=f"Copy {what} as JSON",
                do=lambda: self.copy(json.dumps(plain, indent=2), f"{what} as JSON"),
            ),
            Export(
                label="copy as YAML",
                says=f"Copy {what} as YAML",
                do=lambda: self.copy(
                    yaml.safe_dump(plain, sort_keys=False), f"{what} as YAML"
                ),
            ),
        )

    def propose(self, change: Change) -> None:
        """Ask the operator whether a change is meant."""
        self.post_message(self.Proposed(change))

    def redraw(self) -> None:
        """Draw the last picture again, after a key changed how."""
        if self.picture is not None:
            self.draw(self.picture)

    def copy(self, text: str, what: str) -> None:
        """Copy to the clipboard of the operator's terminal, and say what."""
        if len(text.encode()) > LONGEST_COPY:
            self.notify(f"{what} is too long to copy", severity="warning")
            return
        self.app.copy_to_clipboard(text)
        self.notify(f"copied {what}", timeout=2)

    def copy_json(self, value: object, what: str) -> None:
        """Copy a value as indented JSON."""
        self.copy(json.dumps(msgspec.to_builtins(value), indent=2), what)

    def action_back(self) -> None:
        """Leave for the screen before."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()


class ListScreen(MeshScreen, Generic[_Row]):
    """A screen that is mainly a list, which can be filtered and reduced to trouble."""

    def __init__(self, fields: Fields[_Row]) -> None:
        super().__init__()
        self._fields = fields
        self._filter = Filter("", fields)
        self._only_trouble = False
        self._unclear = ""

    @abstractmethod
    def list_widget(self) -> Widget:
        """Return the list."""

    @abstractmethod
    def current(self) -> _Row | None:
        """Return the row under the cursor."""

    @abstractmethod
    def id_of(self, row: _Row) -> str:
        """Return what to copy as the row's id."""

    @abstractmethod
    def is_trouble(self, row: _Row) -> bool:
        """Say whether a row is in trouble."""

    def on_mount(self) -> None:
        """Start with the cursor in the list."""
        self.list_widget().focus()

    def chosen(self, rows: Sequence[_Row]) -> list[_Row]:
        """Return the rows to show, and say beside the filter how many that is."""
        shown = [
            row
            for row in rows
            if self._filter.matches(row)
            and (not self._only_trouble or self.is_trouble(row))
        ]
        bar = self.query_one(FilterBar)
        bar.note(self._unclear or self._counted(rows, shown), wrong=bool(self._unclear))
        bar.show_while(self._only_trouble)
        return shown

    def reduction(self) -> str:
        """Say in words what hides rows; empty when all are shown."""
        words = [f"match {self.query_one(FilterBar).text!r}"] if self._filter else []
        words += ["are in trouble"] if self._only_trouble else []
        return " and ".join(words)

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterBar).open()

    def action_troubles(self) -> None:
        """Show only trouble, or everything."""
        self._only_trouble = not self._only_trouble
        self.redraw()

    def action_back(self) -> None:
        """Go one step back: the filter, then only trouble, then the screen."""
        bar = self.query_one(FilterBar)
        if bar.in_use:
            bar.clear()
            self.list_widget().focus()
        elif self._only_trouble:
            self.action_troubles()
        else:
            super().action_back()

    def action_copy(self) -> None:
        """Copy the id under the cursor."""
        row = self.current()
        if row is not None:
            self.copy(self.id_of(row), self.id_of(row))

    def action_copy_row(self) -> None:
        """Copy the row under the cursor as JSON."""
        row = self.current()
        if row is not None:
            self.copy_json(row, f"{self.id_of(row)} as JSON")

    def exports(self) -> Iterable[Export]:
        """Offer the row under the cursor."""
        row = self.current()
        return () if row is None else self.export(row, self.id_of(row))

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Filter as it is typed; an unclear one hides nothing and says why."""
        self._unclear = ""
        try:
            self.narrow(event.text)
        except FilterUnclear as error:
            self.narrow("")
            self._unclear = str(error)
        self.redraw()

    def narrow(self, text: str) -> None:
        """Show only what matches a filter; raises FilterUnclear."""
        self._filter = Filter(text, self._fields)

    def on_filter_bar_left(self) -> None:
        """Go back to the list."""
        self.list_widget().focus()

    def _counted(self, rows: Sequence[_Row], shown: Sequence[_Row]) -> str:
        if not self._filter and not self._only_trouble:
            return ""
        trouble = "in trouble " if self._only_trouble else ""
        return f"{trouble}{len(shown):,} of {len(rows):,}"
