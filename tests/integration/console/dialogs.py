"""What tests do at a dialog, and what they see there."""

from textual.widgets import Input

from console.acting import Rights
from console.events import OperatorReported
from console.operator import LaneTarget
from console.operator.scripted import ScriptedOperator
from console.screens.confirm import ConfirmScreen
from contracts.channels import Channel, Priority
from tests.integration.console.conftest import Desk

ARMED = Rights(armed=True)
SMS_HIGH = LaneTarget(Channel.SMS, Priority.HIGH)


def field(desk: Desk, name: str) -> Input:
    return desk.app.screen.query_one(f"#field-{name}", Input)


async def fill(desk: Desk, **values: str) -> None:
    for name, value in values.items():
        field(desk, name).value = value
    await desk.pilot.pause()


async def settle(desk: Desk) -> None:
    """Let what was begun be answered, and paint."""
    await desk.app.workers.wait_for_complete()
    await desk.pilot.pause()
    await desk.paint()


async def announce(desk: Desk, operator: ScriptedOperator) -> None:
    await desk.tell(*(OperatorReported(acted=acted) for acted in operator.acted))
    operator.acted.clear()


def dialog(desk: Desk) -> ConfirmScreen:
    assert isinstance(desk.app.screen, ConfirmScreen)
    return desk.app.screen


def footer_greys(desk: Desk, key: str) -> bool:
    return not desk.screen.active_bindings[key].enabled
