"""What operators did, here and elsewhere, and what came of it."""

from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from console import formats
from console.acting import Acting
from console.model.views import ActionState, ActionView
from console.operator import GatewayError
from console.picture import Picture

_INKS = {
    ActionState.PENDING: "note",
    ActionState.DONE: "good",
    ActionState.FAILED: "bad",
    ActionState.STOPPED: "warn",
    ActionState.UNKNOWN: "warn",
}


class ActionsScreen(ModalScreen[None]):
    """The log of actions, newest first."""

    AUTO_FOCUS = "#actions"
    BINDINGS: ClassVar = [Binding("escape,a,q", "dismiss", "Close")]

    def __init__(self, acting: Acting) -> None:
        super().__init__()
        self._acting = acting
        self._trouble = ""

    def compose(self) -> ComposeResult:
        """Make the box."""
        with VerticalScroll(id="actions", classes="dialog") as box:
            box.border_title = "actions"
            box.border_subtitle = "esc closes"
            yield Static("", id="actions-text", markup=False)

    def on_mount(self) -> None:
        """Ask the audit for what was done before."""
        self._look()

    def paint(self, picture: Picture) -> None:
        """Draw the log of a picture."""
        lines = [
            _line(action, picture) for action in reversed(picture.snapshot.actions)
        ]
        inks = picture.inks
        if self._trouble:
            said = f"Earlier actions are not known: {self._trouble}"
            lines.append(Text(said, inks["warn"]))
        if not lines:
            lines.append(Text("Nobody has changed anything yet.", inks["quiet"]))
        self.query_one("#actions-text", Static).update(Text("\n").join(lines))

    @work(exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        if self._acting.operator is None:
            self._trouble = f"no gateway: {self._acting.trouble}"
            return
        try:
            await self._acting.remember()
        except GatewayError as error:
            self._trouble = str(error)


def _line(action: ActionView, picture: Picture) -> Text:
    inks = picture.inks
    text = Text(no_wrap=False)
    text.append(f"{formats.clock(action.at)}  ", inks["quiet"])
    text.append(f"{_state(action, picture):<11} ", inks[_INKS[action.state]])
    text.append(action.action, inks["strong"])
    text.append(f"  {action.target}  by {action.who}")
    if action.reason:
        text.append(f': "{action.reason}"', inks["plain"])
    if action.words:
        text.append(f"  {action.words}", inks["note"])
    if action.id is not None:
        text.append(f"  {action.id}", inks["quiet"])
    return text


def _state(action: ActionView, picture: Picture) -> str:
    if action.state is ActionState.PENDING:
        return f"pending {formats.age(picture.now - action.at)}"
    return action.state.value
