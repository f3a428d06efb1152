"""The line where a filter is typed, and where an active one stays in sight."""

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static


class LastWord(Suggester):
    """Completes the word that is being typed."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(case_sensitive=False)
        self._known = list(words)

    async def get_suggestion(self, value: str) -> str | None:
        """Return the whole text with its last word completed; None when none fits."""
        before, space, word = value.rpartition(" ")
        if not word:
            return None
        for known in self._known:
            if known.startswith(word) and known != word:
                return f"{before}{space}{known}"
        return None


class FilterBar(Horizontal):
    """Hidden until opened, and visible as long as a filter holds."""

    class Changed(Message):
        """Another filter was typed."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Left(Message):
        """The operator is done typing."""

    _words = ""

    def __init__(
        self, completions: Iterable[str] = (), hint: str = "words, field:value, !not"
    ) -> None:
        super().__init__()
        self._completions = list(completions)
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Make the line."""
        yield Static("/", id="filter-mark")
        yield Input(
            placeholder=self._hint,
            suggester=LastWord(self._completions) if self._completions else None,
            id="filter-input",
            compact=True,
        )
        yield Static("", id="filter-note")

    def on_mount(self) -> None:
        """Start hidden."""
        self.display = False
        self.query_one(Input).cursor_blink = False

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Input).value

    @property
    def in_use(self) -> bool:
        """Whether a filter is typed or being typed."""
        return bool(self.text) or self.query_one(Input).has_focus

    def show_while(self, reduced: bool) -> None:
        """Be in sight while something else than a filter hides rows, too."""
        self.display = reduced or self.in_use

    def open(self) -> None:
        """Show the line and type in it."""
        self.display = True
        self.query_one(Input).focus()

    def clear(self) -> None:
        """Drop the filter."""
        self.query_one(Input).value = ""

    def note(self, words: str, *, wrong: bool = False) -> None:
        """Say beside the filter what it does, or what is wrong with it."""
        note = self.query_one("#filter-note", Static)
        note.set_class(wrong, "-wrong")
        if words != self._words:
            self._words = words
            note.update(words)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go back to the list."""
        event.stop()
        self.post_message(self.Left())
