"""A number for people across the room."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Digits, Static


class Figure(Vertical):
    """A large number with its name above and a note below."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(id=id, classes="figure")
        self._title = name

    def compose(self) -> ComposeResult:
        """Make the three parts."""
        yield Static(self._title, classes="figure-name")
        yield Digits("")
        yield Static("", classes="figure-plain")
        yield Static("", classes="figure-note")

    def paint(self, value: str, note: str) -> None:
        """Set the number and its note."""
        self.query_one(Digits).update(value)
        self.query_one(".figure-plain", Static).update(value, layout=False)
        self.query_one(".figure-note", Static).update(note, layout=False)
