"""Calling a notification back, as a change to confirm."""

from uuid import UUID

from console.changes import Change
from console.keys import Level
from console.operator import Operator
from contracts.lifecycle import CANCELLABLE, FINAL, Status
from contracts.oversight import Action


def cancelling(id_: UUID, lane: str, status: Status, operator: Operator) -> Change:
    """Call a notification back."""
    return Change(
        action=Action.NOTIFICATION_CANCELLED,
        title="Call the notification back",
        verb="Call back",
        target=str(id_),
        level=Level.ONE,
        effect=f"{id_} ({lane}, {status}) is called back and never sent.",
        act=lambda choices: operator.cancel(id_, choices.reason),
    )


def against_cancelling(status: Status) -> str:
    """Say why a notification cannot be called back; empty when it can."""
    if status in CANCELLABLE:
        return ""
    return f"already {status}" if status in FINAL else "it is being sent"
