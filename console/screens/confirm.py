"""The dialog before a change. The more it changes, the more it asks; Cancel has the focus."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from console.changes import NO_REASON, Change, Choices, Decision, Preview
from console.keys import Level
from console.operator import GatewayError
from console.themes import Inks
from contracts.operations import REASON_AT_MOST_CHARACTERS


class ConfirmScreen(ModalScreen[Decision | None]):
    """Asks whether a change is meant; dismissed with what was decided, or None."""

    AUTO_FOCUS = "#cancel"
    BINDINGS: ClassVar = [
        Binding("escape", "cancel", "Cancel"),
        Binding("n", "cancel", "No"),
        Binding("y", "yes", "Yes"),
        Binding("c", "widen", "Wider"),
        Binding("e", "export", "Export"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("down", "next_question", show=False),
    ]

    def __init__(
        self, change: Change, inks: Inks, hindrance: Callable[[Level], str]
    ) -> None:
        super().__init__()
        self._change = change
        self._inks = inks
        self._hindrance = hindrance
        self._preview: Preview | None = None
        self._note = ""

    def compose(self) -> ComposeResult:
        """Say what would happen, then ask."""
        change = self._change
        with Vertical(id="confirm") as box:
            box.border_title = change.title
            yield Static(change.effect, id="confirm-effect", markup=False)
            if change.filter_text:
                yield Static(f"filter  {change.filter_text}", markup=False)
            yield Static("", id="confirm-samples", markup=False)
            yield from self._questions()
            yield Static("", id="confirm-note", markup=False)
            with Horizontal(id="confirm-buttons"):
                yield Button("Cancel (n)", id="cancel", compact=True)
                if change.export is not None:
                    yield Button("Export first (e)", id="export", compact=True)
                if change.wider is not None:
                    yield Button(f"{change.wider.title} (c)", id="wider", compact=True)
                yield Button(self._yes, id="yes", compact=True)

    def _questions(self) -> ComposeResult:
        change, must = self._change, self._change.level > Level.ONE
        if change.number is not None:
            preset = change.number.preset
            text = "" if preset is None else f"{preset:g}"
            yield from _question(change.number.label, "number", text)
        why = "reason" if must else "reason (may be left out)"
        yield from _question(why, "reason", "", most=REASON_AT_MOST_CHARACTERS)
        if must:
            yield from _question("", "typed", "")

    def on_mount(self) -> None:
        """Ask what would happen, where a dry run can tell."""
        self.set_class(self._change.level is Level.DESTROY, "-destroys")
        for field in self.query(Input):
            field.cursor_blink = False
        if self._change.preview is not None:
            self._say("asking what would happen")
            self._look(self._change)
        self._judge()

    @property
    def _yes(self) -> str:
        words = self._change.verb or self._change.title.partition(" ")[0]
        return f"{words} (y)" if self._change.level is Level.ONE else words

    @work(exclusive=True, exit_on_error=False)
    async def _look(self, change: Change) -> None:
        assert change.preview is not None
        try:
            preview = await change.preview()
        except GatewayError as error:
            self._say(f"what would happen is not known: {error}")
            return
        self._preview = preview
        self.query_one("#confirm-effect", Static).update(preview.effect)
        samples = "\n".join(f"  {sample}" for sample in preview.samples)
        self.query_one("#confirm-samples", Static).update(samples)
        if not preview.nothing:
            label = f"type {preview.typed} to mean it"
            self.query_one("#label-typed", Static).update(label)
        self._say("")
        self._judge()

    def on_input_changed(self) -> None:
        """See whether it can be done now."""
        self._say("")
        self._judge()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on to the next question; from the last one, do it.

        A wrong answer is told at once, and stays.
        """
        event.stop()
        wrong, words = self._missing()
        if event.input.id == f"field-{wrong}":
            self._say(words)
            return
        fields = list(self.query(Input))
        place = fields.index(event.input)
        if place + 1 < len(fields):
            fields[place + 1].focus()
        elif self._change.level is Level.ONE:
            self.query_one("#yes", Button).focus()
        else:
            self.action_yes()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what the button says."""
        event.stop()
        {
            "cancel": self.action_cancel,
            "yes": self.action_yes,
            "wider": self.action_widen,
            "export": self.action_export,
        }[event.button.id or "cancel"]()

    def action_next_question(self) -> None:
        """Go on to the next question; from whichever button, to the first one."""
        if isinstance(self.focused, Input):
            self.focus_next()
        else:
            self.query(Input).first().focus()

    def action_cancel(self) -> None:
        """Do nothing."""
        self.dismiss(None)

    def action_yes(self) -> None:
        """Do it, if everything that is asked was answered."""
        wrong, words = self._missing()
        if words:
            self._say(words)
            if wrong:
                self.query_one(f"#field-{wrong}", Input).focus()
            return
        reason = self._text("reason") or NO_REASON
        choices = Choices(reason=reason, number=self._number())
        self.dismiss(Decision(change=self._change, choices=choices))

    def action_widen(self) -> None:
        """Propose the same for more instead."""
        if self._change.wider is not None:
            wider = ConfirmScreen(self._change.wider, self._inks, self._hindrance)
            self.app.push_screen(wider, self.dismiss)

    def action_export(self) -> None:
        """Save what would be lost."""
        if self._change.export is not None:
            self._say("exporting")
            self._save(self._change)

    @work(exclusive=True, exit_on_error=False)
    async def _save(self, change: Change) -> None:
        assert change.export is not None
        try:
            where = await change.export()
        except (GatewayError, OSError) as error:
            self._say(f"not exported: {error}")
        else:
            self._say(f"exported to {where}")

    def _judge(self) -> None:
        self.query_one("#yes", Button).disabled = bool(self._missing()[1])

    def _missing(self) -> tuple[str, str]:
        """Say what keeps it from being done, after the question that is not answered yet.

        Both are empty when nothing does, the question also when it is something else.
        """
        change = self._change
        hindrance = self._hindrance(change.level)
        if hindrance or change.level is Level.ONE:
            return "", hindrance
        if change.preview is not None:
            if self._preview is None:
                return "", "what would happen is not known yet"
            if self._preview.nothing:
                return "", "there is nothing to do it to"
        if change.number is not None and self._number() is None:
            return "number", f"{change.number.label}: {change.number.bounds}"
        if not self._text("reason"):
            return "reason", "say why: it goes on record"
        typed = self._preview.typed if self._preview else ""
        if self._text("typed") != typed:
            return "typed", f"type {typed} to mean it"
        return "", ""

    def _number(self) -> float | None:
        if self._change.number is None:
            return None
        return self._change.number.read(self._text("number"))

    def _text(self, name: str) -> str:
        return self.query_one(f"#field-{name}", Input).value.strip()

    def _say(self, note: str) -> None:
        if note != self._note:
            self._note = note
            text = Text(note, self._inks["warn"])
            self.query_one("#confirm-note", Static).update(text)


def _question(label: str, name: str, text: str, most: int = 0) -> ComposeResult:
    with Horizontal(classes="question"):
        yield Static(label, id=f"label-{name}", classes="question-label", markup=False)
        yield Input(text, id=f"field-{name}", compact=True, max_length=most)
