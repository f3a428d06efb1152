from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import ConsoleApp
from console.events import AnyEvent
from console.operator.scripted import ScriptedOperator
from console.place import Place
from console.screens.mesh_screen import MeshScreen
from console.source.scripted import ScriptedSource
from console.widgets.keyed_table import KeyedTable
from tests.unit.console.world import NOON, busy, moment

LARGE, SMALL = (120, 36), (80, 24)


@dataclass
class Desk:
    """A console on a made-up mesh, whose clock only the test moves."""

    app: ConsoleApp
    pilot: Pilot[None]
    source: ScriptedSource
    clock: "Clock"

    async def tell(self, *events: AnyEvent, at: float | None = None) -> None:
        """Apply news at a moment (now when absent) and paint."""
        for event in events:
            self.app.model.apply(event, self.clock.now if at is None else at)
        await self.paint()

    async def wait(self, seconds: float) -> None:
        """Let time pass and paint."""
        self.clock.now += seconds
        await self.paint()

    async def paint(self) -> None:
        self.app.model.tick(self.clock.now)
        self.app.paint_now()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys; what they change is on the screen when this returns."""
        await self.pilot.press(*keys)
        await self.paint()

    async def filter(self, text: str) -> None:
        """Put a filter in place, and the cursor back in the list."""
        await self.pilot.press("slash")
        self.app.screen.query_one(Input).value = text
        await self.pilot.pause()
        await self.press("enter")

    @property
    def screen(self) -> MeshScreen:
        assert isinstance(self.app.screen, MeshScreen)
        return self.app.screen

    @property
    def table(self) -> KeyedTable[Any]:
        return self.screen.query_one(KeyedTable)

    def cell(self, row: int, label: str) -> Text:
        """Return what the table shows in a column of a row."""
        labels = [column.label for column in self.table.layout_columns]
        cell = self.table.get_row_at(row)[labels.index(label)]
        assert isinstance(cell, Text)
        return cell

    def keys_shown(self) -> list[str]:
        """Return the text of the first columns of every row of the table."""
        return [
            "/".join(str(cell).strip(" ↑↓") for cell in self.table.get_row_at(row)[:2])
            for row in range(self.table.row_count)
        ]

    def text(self) -> str:
        """Return all that is on the screen, as text."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return the lines on the screen, as text."""
        return [
            "".join(segment.text for segment in strip)
            for strip in self.app.screen._compositor.render_strips()
        ]


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


Open = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a console: ``async with console(size=SMALL) as desk``."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    @asynccontextmanager
    async def open_console(
        *,
        size: tuple[int, int] = LARGE,
        told: Iterable[tuple[float, AnyEvent]] | None = None,
        **options: Any,
    ) -> AsyncIterator[Desk]:
        clock, source = Clock(), ScriptedSource()
        place = options.pop("place", Place(name="staging"))
        app = ConsoleApp(source, place, clock=clock, **options)
        async with app.run_test(size=size) as pilot:
            desk = Desk(app, pilot, source, clock)
            for at, event in busy(20) if told is None else told:
                app.model.apply(event, at)
            clock.now = NOON + 0.4
            await desk.paint()
            await desk.paint()
            yield desk

    return open_console


@pytest.fixture
def operator() -> ScriptedOperator:
    """A gateway that knows no notification, as ann speaks to it."""
    return ScriptedOperator("ann", clock=lambda: moment(NOON))
