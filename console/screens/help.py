"""Every key that works here, from the one table of keys."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from console import keys
from console.themes import Inks

_ALWAYS = (
    ("ctrl+p", "Search everything that can be done"),
    ("ctrl+q", "Leave the console from anywhere"),
)


class HelpScreen(ModalScreen[None]):
    """The keys of one screen."""

    BINDINGS: ClassVar = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def __init__(self, scope: str, inks: Inks) -> None:
        super().__init__()
        self._scope = scope
        self._inks = inks

    def compose(self) -> ComposeResult:
        """Write the keys in two columns."""
        scopes = (self._scope, *PARTS.get(self._scope, ()), "app")
        rows = [(key.display, key.tooltip) for key in keys.in_scope(*scopes)]
        text = Text("\n").join(
            Text.assemble((f"{shown:>8}  ", self._inks["accent"]), tooltip)
            for shown, tooltip in (*rows, *_ALWAYS)
        )
        box = VerticalScroll(Static(text), id="help")
        box.border_title = "keys"
        box.border_subtitle = "esc closes"
        yield box


#: The widgets of each screen that have keys of their own.
PARTS = {
    "lanes": ("lane_table", "table"),
    "services": ("table",),
    "feed": ("feed_view",),
}
