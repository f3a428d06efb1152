"""Every key that works here, from the one table of keys."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from console import keys
from console.keys import Key
from console.themes import Inks

_ALWAYS = (
    ("ctrl+p", "Search everything that can be done"),
    ("ctrl+q", "Leave the console from anywhere"),
)


class HelpScreen(ModalScreen[None]):
    """The keys of one screen."""

    BINDINGS: ClassVar = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def __init__(
        self, scope: str, inks: Inks, reason_against: Callable[[Key], str]
    ) -> None:
        super().__init__()
        self._scope = scope
        self._inks = inks
        self._reason_against = reason_against

    def compose(self) -> ComposeResult:
        """Write the keys in two columns."""
        scopes = (self._scope, *PARTS.get(self._scope, ()), "app")
        rows = [self._row(key) for key in keys.in_scope(*scopes)]
        rows += [self._line(shown, tooltip, "accent") for shown, tooltip in _ALWAYS]
        text = Text("\n").join(rows)
        box = VerticalScroll(Static(text), id="help")
        box.border_title = "keys"
        box.border_subtitle = "esc closes"
        yield box

    def _row(self, key: Key) -> Text:
        """Write a key; one that does nothing now is greyed and says why."""
        reason = self._reason_against(key)
        if not reason:
            return self._line(key.display, key.tooltip, "accent")
        row = self._line(key.display, key.tooltip, "quiet")
        row.stylize(self._inks["quiet"])
        return row.append(f"\n{'':>10}not now: {reason}", self._inks["warn"])

    def _line(self, shown: str, tooltip: str, ink: str) -> Text:
        return Text.assemble((f"{shown:>8}  ", self._inks[ink]), tooltip)


#: The widgets of each screen that have keys of their own.
PARTS = {
    "lanes": ("opening_table", "table"),
    "dlq": ("opening_table", "table"),
    "providers": ("opening_table", "table"),
    "schedule": ("opening_table", "table"),
    "job": ("table",),
    "services": ("table",),
    "feed": ("feed_view",),
    "trace": ("table",),
    "actions": ("table",),
}
