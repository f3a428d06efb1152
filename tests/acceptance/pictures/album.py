"""Draws every screen of a console that watches a mesh, as SVG files."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from console.acting import Rights
from console.app import ConsoleApp
from console.model.views import Snapshot
from console.operator import Operator
from console.operator.gateway import open_operator
from console.place import Place
from console.screens.confirm import ConfirmScreen
from console.source.bus import BusAddress, BusSource
from console.themes import THEMES
from tests.acceptance.mesh import Mesh
from tests.waiting import until

LARGE, SMALL = (120, 36), (80, 24)
#: The pictures that ``draw_trouble`` and ``draw_processes`` make.
NAMES = (
    "lanes",
    "lanes-light",
    "lanes-small",
    "lane",
    "dlq",
    "replay",
    "trace",
    "feed",
    "providers",
    "provider-small",
    "services",
    "schedule",
    "schedule-light",
)
_FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
#: A little more than a picture's lines are made for, so that blocks of two lines touch.
_FONT_PIXELS = 21
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_PATIENCE_SECONDS = 60.0


class Album:
    """A console and the folder its pictures go to."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[None], folder: Path) -> None:
        self._app = app
        self._pilot = pilot
        self._folder = folder

    async def shows(self, check: Callable[[Snapshot], object]) -> None:
        """Wait until the console knows of something."""
        await until(lambda: check(self.snapshot()), _PATIENCE_SECONDS)

    def snapshot(self) -> Snapshot:
        """Return what the console knows."""
        return self._app.model.snapshot(self._app._clock())

    async def draw_trouble(self, order: str) -> None:
        """Draw what providers do to lanes and letters; the trace is that of a key."""
        await self._press("1")
        await self._draw("lanes")
        await self._theme("light")
        await self._draw("lanes-light")
        await self._theme("dark")
        await self._size(*SMALL)
        await self._draw("lanes-small")
        await self._size(*LARGE)
        await self._press("down", "enter")
        await self._draw("lane")
        await self._draw_dead_letters()
        await self._press("g", *f"key:{order}", "enter")
        await self._draw("trace")
        await self._press("4")
        await self._draw("feed")
        await self._press("5")
        await self._draw("providers")
        await self._press("enter")
        await self._size(*SMALL)
        await self._draw("provider-small")
        await self._size(*LARGE)

    async def draw_processes(self) -> None:
        """Draw what there is of processes and jobs."""
        await self._press("6")
        await self._draw("services")
        await self._press("7")
        await self._draw("schedule")
        await self._theme("light")
        await self._draw("schedule-light")

    async def _draw_dead_letters(self) -> None:
        await self._press("2", "enter", "down", "down", "space")
        await self._draw("dlq")
        await self._press("escape", "up", "up", "up", "R")
        if isinstance(self._app.screen, ConfirmScreen):
            self._app.screen.query_one(
                "#field-reason", Input
            ).value = "the numbers were corrected"
        await self._draw("replay")
        await self._press("escape")

    async def _press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._settle()

    async def _settle(self) -> None:
        await self._app.workers.wait_for_complete()
        await self._pilot.pause()
        self._app.paint_now()
        await self._pilot.pause()

    async def _theme(self, name: str) -> None:
        self._app.theme = THEMES[name].name
        await self._settle()

    async def _size(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)
        await self._settle()

    async def _draw(self, name: str) -> None:
        await self._settle()
        self._app.clear_notifications()
        await self._pilot.pause()
        svg = self._app.export_screenshot(title="tocsin console", simplify=True)
        ground = self._app.theme_variables["background"]
        (self._folder / f"{name}.svg").write_text(_plain(svg, ground))


def _plain(svg: str, ground: str) -> str:
    """Return a picture that fetches no font, its frame in the colour of its theme."""
    svg = _COMMENT.sub("", _FONT_FACE.sub("", svg))
    svg = re.sub(r"font-family: [^;]+;", f"font-family: {_FONTS};", svg)
    svg = svg.replace("font-size: 20px", f"font-size: {_FONT_PIXELS}px")
    frame = re.compile(r'(<rect )fill="#[0-9a-f]{6}"( stroke=)')
    return frame.sub(rf'\1fill="{ground}"\2', svg, count=1)


@asynccontextmanager
async def opened(mesh: Mesh, folder: Path) -> AsyncIterator[tuple[Album, Operator]]:
    """Open a console on the bus and the gateway of a mesh, as ``--rw`` does."""
    source = BusSource(BusAddress(url=mesh.addresses["nats"]))
    async with open_operator(mesh.addresses["gateway"], None, "ann") as operator:
        app = ConsoleApp(
            source, Place(name="staging"), operator=operator, rights=Rights(armed=True)
        )
        async with app.run_test(size=LARGE) as pilot:
            yield Album(app, pilot, folder), operator
