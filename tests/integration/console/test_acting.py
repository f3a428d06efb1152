"""The console on a real bus and a real gateway: what is done shows as done."""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from textual.pilot import Pilot
from textual.widgets import Input

from console.acting import Rights
from console.app import ConsoleApp
from console.keys import Level
from console.model.views import ControlsView
from console.operator.gateway import GatewayOperator, open_operator
from console.place import Place
from console.screens.confirm import ConfirmScreen
from console.screens.trace import TraceScreen
from console.source.bus import BusAddress, BusSource
from contracts.lifecycle import Status
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.console.conftest import LARGE
from tests.integration.factories import RECIPIENTS, seed_notifications
from tests.integration.gateway.gateways import running_gateway
from tests.waiting import until

PATIENCE = 20.0


@pytest_asyncio.fixture
async def operator(settings: MeshSettings, bus: Bus) -> AsyncIterator[GatewayOperator]:
    async with (
        running_gateway(settings) as gateway,
        open_operator(f"http://127.0.0.1:{gateway.port}", None, "ann") as operator,
    ):
        yield operator


@pytest.fixture
def app(operator: GatewayOperator, nats_url: str) -> ConsoleApp:
    return ConsoleApp(
        BusSource(BusAddress(url=nats_url)),
        Place(name="test"),
        operator=operator,
        rights=Rights(armed=True),
    )


async def ready(app: ConsoleApp) -> None:
    """Return when the console hears the bus, and the gateway has answered."""
    await until(lambda: app.acting.reached, PATIENCE)
    await until(lambda: not app._hindrance(Level.MANY), PATIENCE)
    app.paint_now()


async def ask(app: ConsoleApp, pilot: Pilot[None], key: str) -> None:
    """Press a key that changes something; returns when its dialog is there."""
    app._proposed_at = 0.0

    async def asked() -> bool:
        if not isinstance(app.screen, ConfirmScreen):
            await press(pilot, key)  # greyed while the machine keeps the news waiting
        return isinstance(app.screen, ConfirmScreen)

    await until(asked, PATIENCE)
    await app.workers.wait_for_complete()


def standing(app: ConsoleApp) -> ControlsView:
    return app.model.snapshot(time.time()).controls


def states(app: ConsoleApp) -> list[str]:
    return [action.state for action in app.model.actions.views()]


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys as a person does who waits for the dialog."""
    for key in keys:
        pilot.app.paint_now()  # type: ignore[attr-defined]
        await pilot.press(key)
    await pilot.pause()


async def test_a_lane_is_paused_and_resumed(app: ConsoleApp, operator: GatewayOperator):
    async with app.run_test(size=LARGE) as pilot:
        await ready(app)
        await ask(app, pilot, "P")
        await press(pilot, "y")
        await until(lambda: states(app) == ["done"], PATIENCE)
        pause = (await until(lambda: standing(app).pauses, PATIENCE))["sms/high"]
        assert (pause.target, pause.by) == ("sms.high", "ann")

        await ask(app, pilot, "P")
        await press(pilot, "y")
        await until(lambda: states(app) == ["done", "done"], PATIENCE)
        await until(lambda: not standing(app).pauses, PATIENCE)

    entries = (await operator.audit()).items
    assert [(e.action, e.target, e.who) for e in entries] == [
        ("lane.resumed", "sms.high", "ann"),
        ("lane.paused", "sms.high", "ann"),
    ]


async def test_a_wrong_limit_is_set_and_undone(
    app: ConsoleApp, operator: GatewayOperator
):
    async with app.run_test(size=LARGE) as pilot:
        await ready(app)
        for number in ("40", "4"):
            await ask(app, pilot, "L")
            await press(pilot, "down", *number, "enter", "x", "enter")
            await press(pilot, *"sms", "enter")
            await until(lambda: standing(app).limits, PATIENCE)
        await until(
            lambda: standing(app).limits["channel.sms"].per_second == 4, PATIENCE
        )

        await ask(app, pilot, "U")
        await press(pilot, "down", "x", "enter", *"sms", "enter")
        await until(
            lambda: standing(app).limits["channel.sms"].per_second == 40, PATIENCE
        )
        await until(lambda: states(app) == ["done"] * 3, PATIENCE)


async def test_a_stuck_notification_is_found_by_its_recipient_and_cancelled(
    app: ConsoleApp, operator: GatewayOperator, ledger: Ledger
):
    [id_] = await seed_notifications(ledger, None, 1)
    recipient = next(iter(RECIPIENTS.values()))
    async with app.run_test(size=LARGE) as pilot:
        await ready(app)
        await press(pilot, "g")
        app.screen.query_one(Input).value = recipient
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        await until(lambda: screen._subject == id_, PATIENCE)

        await ask(app, pilot, "X")
        await press(pilot, "y")
        await until(lambda: states(app) == ["done"], PATIENCE)

    assert (await operator.notification(id_)).status is Status.CANCELLED
