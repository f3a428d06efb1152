"""What operators did, here and elsewhere, and what came of it."""

from collections.abc import Iterable
from uuid import UUID

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.widgets import Static

from console import formats, keys
from console.changes import Change
from console.keys import Key, Level
from console.model.views import ActionState, ActionView
from console.operator import GatewayError, Operator
from console.picture import Cell, Picture
from console.screens.mesh_screen import Export, MeshScreen
from console.widgets.keyed_table import Column, KeyedTable
from contracts.oversight import Action

_INKS = {
    ActionState.PENDING: "note",
    ActionState.DONE: "good",
    ActionState.FAILED: "bad",
    ActionState.STOPPED: "warn",
    ActionState.UNKNOWN: "warn",
}
_WIDE = 100


class ActionsScreen(MeshScreen):
    """The log of actions, newest first, and below it all that is known of one."""

    scope = "actions"
    BINDINGS = keys.bindings("actions")

    def __init__(self) -> None:
        super().__init__()
        self._trouble = ""

    def parts(self) -> ComposeResult:
        """Make the table, and what stands below it."""
        yield KeyedTable[ActionView](
            key=lambda action: str(action.serial), id="action-table"
        )
        yield Static("", id="actions-trouble", markup=False)
        yield Static("", id="empty", markup=False)
        yield Static("", id="action-detail", classes="panel", markup=False)

    def on_mount(self) -> None:
        """Start with the cursor in the log."""
        self._table.focus()

    def look_again(self) -> None:
        """Ask the audit again for what was done."""
        if self.picture is not None:
            self._look(self.picture)

    def on_data_table_row_highlighted(self) -> None:
        """Tell more of the action under the cursor."""
        self.bring_keys()
        if self.picture is not None:
            self._draw_detail(self.picture)

    def illegal(self, key: Key) -> str:
        """Say why a key makes no sense for the action under the cursor."""
        if key.level is Level.READ:
            return ""
        action = self._table.cursor_value
        return "" if action is not None and action.running else "no operation goes on"

    def action_stop(self) -> None:
        """Stop the operation under the cursor."""
        action, picture = self._table.cursor_value, self.picture
        if action is None or action.operation is None or picture is None:
            return
        if (operator := picture.acting.operator) is not None:
            self.propose(_stopping(action, action.operation, operator))

    def action_copy(self) -> None:
        """Copy the id of the operation, or of the entry in the audit."""
        action = self._table.cursor_value
        if action is not None and (id_ := action.operation or action.id) is not None:
            self.copy(str(id_), str(id_))

    def action_copy_row(self) -> None:
        """Copy the action as JSON."""
        action = self._table.cursor_value
        if action is not None:
            self.copy_json(action, f"{action.action} as JSON")

    def exports(self) -> Iterable[Export]:
        """Offer the whole log."""
        if self.picture is None:
            return ()
        return self.export(self.picture.snapshot.actions, "the log of actions")

    def paint(self, picture: Picture) -> None:
        """Draw everything; the first time, ask for what was done before."""
        first = self.picture is None
        super().paint(picture)
        if first:
            self._look(picture)

    def draw(self, picture: Picture) -> None:
        """Draw the log of a picture."""
        actions = picture.snapshot.actions[::-1]
        self._table.layout_columns = _columns(picture, self.app.size.width)
        self._table.show(actions, picture.inks, picture.glyphs)
        trouble = self.query_one("#actions-trouble", Static)
        trouble.display = bool(self._trouble)
        trouble.update(Text(self._trouble, picture.inks["warn"]))
        empty = self.query_one("#empty", Static)
        empty.display = not actions
        empty.update("Nobody has changed anything yet.")
        self._draw_detail(picture)

    @property
    def _table(self) -> KeyedTable[ActionView]:
        return self.query_one("#action-table", KeyedTable)

    @work(exclusive=True, exit_on_error=False)
    async def _look(self, picture: Picture) -> None:
        acting = picture.acting
        why = "" if acting.operator is not None else f"no gateway: {acting.trouble}"
        try:
            await acting.remember()
        except GatewayError as error:
            why = str(error)
        self._trouble = f"What was done before is not known: {why}" if why else ""
        self.app.call_later(self.redraw)

    def _draw_detail(self, picture: Picture) -> None:
        detail = self.query_one("#action-detail", Static)
        action = self._table.cursor_value
        detail.display = action is not None
        if action is None:
            return
        detail.border_title = action.action
        text = Text(_state(action, picture), picture.inks[_INKS[action.state]])
        if action.words:
            text.append(f"  {action.words}")
        for name, value in (
            ("target", action.target),
            ("by", action.who),
            ("because", action.reason),
            ("operation", action.operation),
            ("audit", action.id),
        ):
            if value:
                text.append(f"\n{name:<10}", picture.inks["quiet"]).append(str(value))
        detail.update(text)


def _columns(picture: Picture, width: int) -> list[Column[ActionView]]:
    wide = width >= _WIDE

    def column(label: str, size: int, ink: str = "plain") -> Column[ActionView]:
        def cell(action: ActionView) -> Cell:
            value = getattr(action, label, None) or ""
            return Cell(str(value), ink)

        return Column(label=label, width=size, cell=cell, by=lambda _action: 0)

    at = Column[ActionView](
        label="at",
        width=8,
        cell=lambda action: Cell(formats.clock(action.at), "quiet"),
        by=lambda _action: 0,
    )
    state = Column[ActionView](
        label="state",
        width=12,
        cell=lambda action: Cell(_state(action, picture), _INKS[action.state]),
        by=lambda _action: 0,
    )
    columns = [
        at,
        state,
        column("action", 22 if wide else 20, "strong"),
        column("target", 36 if wide else 18),
        column("who", 12 if wide else 10),
    ]
    return [*columns, column("reason", 16, "quiet")] if wide else columns


def _state(action: ActionView, picture: Picture) -> str:
    if action.state is ActionState.PENDING:
        return f"pending {formats.age(picture.now - action.at)}"
    return action.state.value


def _stopping(action: ActionView, operation: UUID, operator: Operator) -> Change:
    return Change(
        action=Action.OPERATION_STOPPED,
        title=f"Stop the operation of {action.who}",
        target=str(operation),
        level=Level.ONE,
        effect=f"{action.action} of {action.target} ends here; what is done stays done.",
        act=lambda _choices: operator.stop(operation),
    )
