"""The console application: one model, one source, one clock that paints."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from textual import constants
from textual.app import App, ScreenStackError, SystemCommand
from textual.await_complete import AwaitComplete
from textual.css.query import NoMatches
from textual.screen import Screen

from console import keys
from console.acting import Acting, Rights
from console.changes import Decision
from console.events import AnyEvent, BacklogRead, LinkChanged, LinkCondition
from console.glyphs import ASCII, UNICODE
from console.model import Model
from console.model.views import Snapshot
from console.operator import Operator
from console.picture import Picture
from console.place import Place
from console.screens.actions import ActionsScreen
from console.screens.confirm import ConfirmScreen
from console.screens.dlq import DlqScreen
from console.screens.feed import FeedScreen
from console.screens.help import HelpScreen
from console.screens.lanes import LanesScreen
from console.screens.mesh_screen import MeshScreen
from console.screens.providers import ProvidersScreen
from console.screens.schedule import ScheduleScreen
from console.screens.services import ServicesScreen
from console.screens.trace import TraceScreen
from console.source import Source
from console.themes import DARK, ELSEWHERE, LIGHT, Inks

PAINT_SECONDS = 0.25
#: A source that raised is started again after this long.
MEND_SECONDS = 1.0
#: Leaving waits no longer than this for the connection to close.
LEAVE_SECONDS = 2.0
#: A key that is held down asks to change something once.
DEBOUNCE_SECONDS = 0.3

_TEXTUALS_OWN = "textual-dark"

_WIDTHS = [(0, "-narrow"), (100, "-wide")]
_HEIGHTS = [(0, "-short"), (30, "-tall")]


def _usual_theme() -> str:
    """Return ours, unless TEXTUAL_THEME names another one."""
    named = constants.DEFAULT_THEME
    return DARK.name if named == _TEXTUALS_OWN else named


class ConsoleApp(App[None]):
    """Shows a mesh. Events only change the model; ``paint`` alone touches widgets."""

    TITLE = "tocsin"
    CSS_PATH = "console.tcss"
    MODES: ClassVar = {
        "lanes": LanesScreen,
        "dlq": DlqScreen,
        "trace": TraceScreen,
        "feed": FeedScreen,
        "providers": ProvidersScreen,
        "services": ServicesScreen,
        "schedule": ScheduleScreen,
    }
    DEFAULT_MODE = "lanes"
    BINDINGS = keys.bindings("app")
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(
        self,
        source: Source,
        place: Place,
        *,
        clock: Callable[[], float] = time.time,
        theme: str | None = None,
        ascii_only: bool = False,
        recording: Callable[[], str] = str,
        operator: Operator | None = None,
        rights: Rights | None = None,
    ) -> None:
        super().__init__()
        self.model = Model()
        self.acting = Acting(operator, self.model.actions, rights or Rights(), clock)
        self._source = source
        self._place = place
        self._clock = clock
        self._glyphs = ASCII if ascii_only else UNICODE
        self._recording = recording
        self._inks: Inks | None = None
        self._faded: Inks | None = None
        self._frozen: Snapshot | None = None
        self._painted_second = -1
        self._has_numbers = False
        self._tasks: list[asyncio.Task[None]] = []
        self._proposed_at = float("-inf")
        self._sought_from = self.DEFAULT_MODE
        for ours in (DARK, LIGHT):
            self.register_theme(ours)
        self.theme = theme or _usual_theme()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the colours that only our own themes name, for all others."""
        return ELSEWHERE

    def on_mount(self) -> None:
        """Start listening and painting."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="console.listen"),
            asyncio.create_task(self.acting.watch(), name="console.watch"),
        ]
        self.set_interval(PAINT_SECONDS, self.paint)
        self.theme_changed_signal.subscribe(self, self._on_theme_changed)
        # SIGHUP stays what it is, the end: without its terminal nothing can be put in order,
        # and Textual would wait for it for ever.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    async def on_unmount(self) -> None:
        """Stop listening."""
        await self.leave()

    async def leave(self) -> None:
        """Stop listening and asking; done once, doing it again does nothing.

        Textual does not unmount what is cancelled while it closes its screens. So whoever
        lends the console a gateway calls this before taking it away.
        """
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_SECONDS)

    def receive(self, event: AnyEvent) -> None:
        """Take one event from the source."""
        self.model.apply(event, self._clock())
        if isinstance(event, BacklogRead) and not self._has_numbers:
            self._has_numbers = True  # whoever has just started it waits for no clock
            self.call_later(self.paint_now)

    def paint(self) -> None:
        """Draw the screen if there is anything new: four times a second at most.

        Once a second is enough when nothing came (ages grow), and while the terminal is
        not looked at. Nothing is drawn under a dialog.
        """
        now = self._clock()
        self.model.tick(now)
        self._tell_notices()
        same_second = int(now) == self._painted_second
        dirty = self.model.dirty or self.acting.dirty
        if same_second and not (dirty and self.app_focus):
            return
        self.paint_now()

    def paint_now(self) -> None:
        """Draw the screen."""
        try:
            screen = self.screen
        except ScreenStackError:  # between two screens there is none
            return
        if not isinstance(screen, MeshScreen) or not screen.is_mounted:
            return
        if not screen.children:  # it is being taken down
            return
        now = self._clock()
        self._painted_second = int(now)
        self.model.dirty = self.acting.dirty = False
        # A screen that is taken down loses its parts before it goes itself.
        with self.batch_update(), contextlib.suppress(NoMatches):
            screen.paint(self._picture(now))

    def pop_screen(self) -> AwaitComplete:
        """Go back to the screen below, which is painted at once."""
        gone = super().pop_screen()
        self.call_later(self.paint_now)
        return gone

    def action_go(self, mode: str) -> None:
        """Switch to another screen; to its first page when it is already shown."""
        if mode == self.current_mode:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        else:
            self.switch_mode(mode)
        self.call_after_refresh(self.paint_now)

    def action_freeze(self) -> None:
        """Hold the display still, or let it run again."""
        self._frozen = (
            self.model.snapshot(self._clock()) if self._frozen is None else None
        )
        self.paint_now()

    def action_refresh_now(self) -> None:
        """Ask the source now."""
        self._source.refresh()
        if isinstance(self.screen, MeshScreen):
            self.screen.look_again()
        self.notify("asking now", timeout=1)

    def action_help(self) -> None:
        """Show the keys of the current screen."""
        if isinstance(self.screen, MeshScreen) and self._inks is not None:
            reasons = self.screen.reason_against
            self.push_screen(HelpScreen(self.screen.scope, self._inks, reasons))

    async def action_seek(self, text: str = "") -> None:
        """Look a notification up."""
        if self.current_mode != "trace":
            self._sought_from = self.current_mode
            await self.switch_mode("trace")
        self.paint_now()
        if isinstance(self.screen, TraceScreen):
            self.screen.seek(text)

    async def on_mesh_screen_seek(self, event: MeshScreen.Seek) -> None:
        """Look up what a screen names."""
        await self.action_seek(event.text)

    def on_mesh_screen_left(self) -> None:
        """Go back to where the look-up began."""
        self.action_go(self._sought_from)

    def action_actions(self) -> None:
        """Show what operators did, or go back from it."""
        if isinstance(self.screen, ActionsScreen):
            self.pop_screen()
        elif isinstance(self.screen, MeshScreen):
            self.push_screen(ActionsScreen())
            self.call_after_refresh(self.paint_now)

    def on_mesh_screen_proposed(self, event: MeshScreen.Proposed) -> None:
        """Ask whether a change is meant, and do it then.

        Once in a while: a key held down, or pressed twice by a hand in a hurry, asks once.
        """
        now, before = self._clock(), self._proposed_at
        self._proposed_at = now
        if 0 <= now - before < DEBOUNCE_SECONDS or self._inks is None:
            return
        dialog = ConfirmScreen(event.change, self._inks, self._hindrance)
        self.push_screen(dialog, self._decided)

    def _hindrance(self, level: keys.Level) -> str:
        link = self.model.snapshot(self._clock()).link
        return self.acting.hindrance(level, self._place, link)

    def _decided(self, decision: Decision | None) -> None:
        if decision is not None:
            self.run_worker(
                self._perform(decision), name="console.perform", exit_on_error=False
            )

    async def _perform(self, decision: Decision) -> None:
        said = await self.acting.perform(decision.change, decision.choices)
        self.notify(said, title=decision.change.title, markup=False)
        self.model.dirty = True

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer every key of the screen, and why it may not work, and what Textual brings."""
        if isinstance(screen, MeshScreen):
            for key in keys.in_scope(screen.scope, "app"):
                reason = screen.reason_against(key)
                does = self._says(reason) if reason else self._does(key.action)
                words = f"not now: {reason}" if reason else key.tooltip
                yield SystemCommand(key.label, f"{words} ({key.display})", does)
            for export in screen.exports():
                yield SystemCommand(f"Export: {export.label}", export.says, export.do)
        yield SystemCommand("Theme", "Choose another theme", self.action_change_theme)
        yield SystemCommand(
            "Screenshot",
            "Save the screen as an SVG file",
            lambda: self.set_timer(0.1, self.deliver_screenshot),
        )

    def _does(self, action: str) -> Callable[[], None]:
        def call() -> None:
            self.call_later(self.run_action, action, self.screen)

        return call

    def _says(self, reason: str) -> Callable[[], None]:
        return lambda: self.notify(reason, severity="warning", markup=False)

    def _picture(self, now: float) -> Picture:
        if self._inks is None:
            self._inks = Inks(self.get_css_variables())
            self._faded = self._inks.faded()
        live = self.model.snapshot(now)
        snapshot = self._frozen or live
        return Picture(
            snapshot=snapshot,
            link=live.link,
            now=now,
            flow=lambda lane: self.model.flow(lane, snapshot.at),
            provider_flow=lambda name: self.model.provider_flow(name, snapshot.at),
            runs_of=self.model.runs_of,
            place=self._place,
            acting=self.acting,
            inks=self._inks,
            news=self._faded if live.link.stale and self._faded else self._inks,
            glyphs=self._glyphs,
            frozen_seconds=None if self._frozen is None else now - self._frozen.at,
            recording=self._recording(),
        )

    def _tell_notices(self) -> None:
        while self.model.notices:
            self.notify(self.model.notices.popleft())

    def _on_theme_changed(self, _theme: object) -> None:
        self._inks = None
        self.call_after_refresh(self.paint_now)

    async def _listen(self) -> None:
        while True:
            try:
                await self._source.run(self.receive)
            except Exception as error:  # noqa: BLE001 (a fault here must not end the watch)
                self.receive(
                    LinkChanged(
                        condition=LinkCondition.RETRYING,
                        retry_in_seconds=MEND_SECONDS,
                        reason=f"fault in the console: {error!r}",
                    )
                )
            await asyncio.sleep(MEND_SECONDS)
