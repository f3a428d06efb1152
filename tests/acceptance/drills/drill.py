"""Incident drills: a fault in a real mesh, and the keys that see and mend it.

A drill is one test. ``drilling`` opens the console as ``tocsin console --rw`` does, on the
bus and the gateway of a mesh that ``tocsin up`` runs, at a terminal of 120x36::

    async with drilling(mesh, record_property, number=4, fault="a lane paused") as drill:
        ...                                     # break something
        effect_at = await drill.witness.state(lambda state: ...)   # when it took effect
        await drill.seen("paused", "sms", "high", effect_at=effect_at)
        await drill.press("P")
        await drill.shown("Resume sms/high")    # read before answering, as a person does
        await drill.press("y")
        await until(...)                        # the mesh, not the screen, says it is mended

- ``seen`` takes the seconds from the fault's effect until the screen in front of the operator
  tells it, and fails past ``VISIBLE_WITHIN_SECONDS``. Only the first ``seen`` of a drill goes
  into the table. The effect is the moment from which the mesh itself knows: what the witness
  heard (``state.at``, ``change.at``), or ``time.time()`` when the test itself caused it.
- ``press`` counts keys: those before ``seen`` (to get to where it can be seen) too.
  ``write`` types into a question, such as a reason or a count; its characters are counted
  apart; ``answer`` answers all questions of a dialog that asks to type what is meant. At the
  end a drill has taken at most ``AT_MOST_KEYS`` keys.
- ``seen``, ``shown`` and ``gone`` take words that stand together on one line, and wait until
  there is such a line, or none any more; ``seen(…, ink="bad")`` also wants that colour on it.
  ``row`` reads the line; ``lines`` is the screen.
- ``drill.app`` is the console; tests look at it only to wait (``app.acting.reached``).
- A mesh whose fault heals may be shared by a module (the ``shared`` fixture); one that is
  broken for good is the test's own (``mesh``). Both are in conftest.py. ``number`` puts the
  drill in its place in the table, which pytest prints at its end, and
  ``python -m tests.acceptance.drills`` runs the drills and prints it for the documentation.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from rich.segment import Segment
from textual.pilot import Pilot

from console import keys
from console.app import ConsoleApp
from console.cli import Door, Target, open_console
from console.themes import Inks
from tests.acceptance.drills.table import PROPERTY, Finding
from tests.acceptance.drills.witness import Witness, listening
from tests.acceptance.mesh import Mesh
from tests.waiting import until

SIZE = (120, 36)
WHO = "ann"
AT_MOST_KEYS = 8
#: A fault is on the screen so soon after its effect; a heartbeat later where other tests run
#: on the same cores.
GOAL_SECONDS = 2.0
HEARTBEAT_SECONDS = 1.0
VISIBLE_WITHIN_SECONDS = GOAL_SECONDS + (
    HEARTBEAT_SECONDS if "PYTEST_XDIST_WORKER" in os.environ else 0.0
)
#: How long a drill waits for what it then measures.
PATIENCE_SECONDS = 30.0

_DISPLAYED = {key.key: key.display for key in keys.KEYS}


class Drill:
    """One console at one mesh, and what was done at it."""

    def __init__(
        self, mesh: Mesh, app: ConsoleApp, pilot: Pilot[None], witness: Witness
    ) -> None:
        self.mesh = mesh
        self.app = app
        self.pilot = pilot
        self.witness = witness
        self.pressed: list[str] = []
        self.typed = 0
        self.visible = ""
        self.seconds: float | None = None

    async def press(self, *pressed: str) -> None:
        """Press keys, by Textual's names: ``"P"``, ``"enter"``, ``"slash"``."""
        for key in pressed:
            self.pressed.append(_DISPLAYED.get(key, key))
            await self.pilot.press(key)
        await self.pilot.pause()

    async def write(self, text: str) -> None:
        """Type a text into the question that has the focus."""
        self.typed += len(text)
        await self.pilot.press(*text)
        await self.pilot.pause()

    async def answer(self, *texts: str) -> None:
        """Go from Cancel to the first question, and answer each; the last one does it."""
        await self.shown("to mean it")
        await self.press("down")
        for text in texts:
            await self.write(text)
            await self.press("enter")

    async def seen(
        self,
        *words: str,
        effect_at: float,
        by: str,
        ink: str | None = None,
        within: float = VISIBLE_WITHIN_SECONDS,
    ) -> float:
        """Wait until the fault is on the screen; return the seconds since its effect.

        ``by`` tells the readers of the table where it is seen. What was on the screen before
        the witness could name its effect took no time.
        """
        await self.shown(*words, ink=ink)
        seconds = max(0.0, time.time() - effect_at)
        if self.seconds is None:
            self.visible, self.seconds = by, seconds
        assert seconds <= within, f"{words} stood on the screen after {seconds:.1f} s"
        return seconds

    async def shown(self, *words: str, ink: str | None = None) -> None:
        """Wait until some line has all the words, and something on it the ink."""

        def are_there() -> bool:
            assert self.row(*words), f"no line with {words}"
            return ink is None or self.ink(ink) in self.inks_of(*words)

        await until(are_there, PATIENCE_SECONDS)

    async def gone(self, *words: str) -> None:
        """Wait until no line has all the words."""

        def is_gone() -> bool:
            assert not self.row(*words), f"still {self.row(*words)!r}"
            return True

        await until(is_gone, PATIENCE_SECONDS)

    def row(self, *names: str) -> str:
        """Return the first line that has all names; empty when there is none."""
        for line in self.lines:
            if all(name in line for name in names):
                return line
        return ""

    @property
    def lines(self) -> list[str]:
        """The screen as it is drawn, as text."""
        return ["".join(s.text for s in strip) for strip in self._strips()]

    def inks_of(self, *words: str) -> set[str]:
        """Return the colours on the first line that has all the words."""
        for strip in self._strips():
            line = "".join(segment.text for segment in strip)
            if all(word in line for word in words):
                return {
                    segment.style.color.get_truecolor().hex
                    for segment in strip
                    if segment.text.strip() and segment.style and segment.style.color
                }
        return set()

    def ink(self, name: str) -> str:
        """Return the colour of an ink, such as ``"bad"``, in the theme that is shown."""
        colour = Inks(self.app.get_css_variables())[name].color
        assert colour is not None
        return colour.get_truecolor().hex

    def _strips(self) -> list[list[Segment]]:
        return [list(strip) for strip in self.app.screen._compositor.render_strips()]

    def finding(self, number: int, fault: str) -> Finding:
        """Say what came of it; raises AssertionError when it took too much."""
        assert self.seconds is not None, (
            "nobody has looked whether the fault is visible"
        )
        assert len(self.pressed) <= AT_MOST_KEYS, self.pressed
        return Finding(
            number=number,
            fault=fault,
            visible=self.visible,
            seconds=round(self.seconds, 2),
            pressed=tuple(self.pressed),
            typed=self.typed,
        )


@asynccontextmanager
async def drilling(
    mesh: Mesh,
    record_property: Callable[[str, object], None],
    *,
    number: int,
    fault: str,
    **look: Any,
) -> AsyncIterator[Drill]:
    """Open an armed console at a mesh, and keep what came of the drill for the table.

    The block begins when the console hears the bus and the gateway has answered it.
    """
    addresses = mesh.addresses
    target = Target(url=addresses["nats"], creds=None, environment="drill")
    door = Door(
        url=addresses["gateway"],
        api_key=None,
        operator=WHO,
        armed=True,
        destructive=False,
    )
    source, place = target.find()
    async with (
        listening(addresses["nats"]) as witness,
        open_console(source, place, door, door.gateway(target), look) as app,
        app.run_test(size=SIZE) as pilot,
    ):
        drill = Drill(mesh, app, pilot, witness)
        await until(lambda: app.acting.reached, PATIENCE_SECONDS)
        await until(lambda: hears_all(app), PATIENCE_SECONDS)
        app.paint_now()
        try:
            yield drill
        except AssertionError as error:
            error.add_note("on the screen:\n" + "\n".join(drill.lines))
            raise
        record_property(
            PROPERTY, msgspec.json.encode(drill.finding(number, fault)).decode()
        )


def hears_all(app: ConsoleApp) -> bool:
    """Say whether the console has heard the bus and every kind of service."""
    snapshot = app.model.snapshot(time.time())
    return snapshot.link.age_seconds is not None and {
        view.service for view in snapshot.services if view.instance
    } >= {"gateway", "dispatcher", "scheduler"}
