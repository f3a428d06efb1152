"""The console on a bus that carries more than anyone can read."""

import asyncio
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from textual.app import ScreenStackError

from console.app import ConsoleApp
from console.events import AnyEvent, LinkCondition, StatusReported
from console.model.views import LinkView
from console.place import Place
from console.screens.feed import FeedScreen
from console.screens.mesh_screen import MeshScreen
from console.screens.services import ServicesScreen
from console.source.bus import BusAddress, BusSource
from tests.integration.console.conftest import LARGE
from tests.waiting import until

PER_SECOND, SECONDS = 20_000, 4.0
ROOT = Path(__file__).parents[3]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many status changes reached the console so far."""
    count = [0]
    receive = ConsoleApp.receive

    def counting(app: ConsoleApp, event: AnyEvent) -> None:
        count[0] += isinstance(event, StatusReported)
        receive(app, event)

    monkeypatch.setattr(ConsoleApp, "receive", counting)
    return count


def dropped(app: ConsoleApp) -> int:
    """Return how many the console knows it lost: a machine at its limit loses some."""
    return app.model.snapshot(time.time()).dropped


def link_of(app: ConsoleApp) -> LinkView:
    return app.model.snapshot(time.time()).link


def shows(app: ConsoleApp, screen: type[MeshScreen]) -> bool:
    try:
        return isinstance(app.screen, screen)
    except ScreenStackError:  # between two screens there is none
        return False


async def test_a_key_is_answered_at_once_while_twenty_thousand_changes_a_second_come(
    nats_url: str, heard: list[int]
) -> None:
    """The quickest counts, in this process's own time: other work of the machine slows it."""
    app = ConsoleApp(BusSource(BusAddress(url=nats_url)), Place(name="test"))
    async with app.run_test(size=LARGE) as pilot:
        await until(lambda: link_of(app).condition is LinkCondition.CONNECTED)
        await pilot.press("4")
        publishing = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.console.flood"),
            *(nats_url, str(PER_SECOND), str(SECONDS)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        await until(lambda: heard[0], 20)
        took = []
        while publishing.returncode is None:
            for key, screen in (("6", ServicesScreen), ("4", FeedScreen)):
                begun = time.process_time()
                app.simulate_key(key)
                await until(partial(shows, app, screen))
                app.paint_now()
                took.append(time.process_time() - begun)
                await asyncio.sleep(0.1)
        out, _ = await publishing.communicate()

        sent = int(out)
        await until(lambda: heard[0] + dropped(app) == sent, 20)
        assert sent > PER_SECOND
        assert min(took) < 0.1
