import asyncio
import time

import pytest
from textual.widget import Widget
from textual.widgets import Footer

from console.app import PAINT_SECONDS
from console.events import BacklogRead, LinkAnswered
from console.place import Place
from console.screens.services import ServicesScreen
from console.source import Sink
from console.source.scripted import ScriptedSource
from console.widgets.keyed_table import KeyedTable
from console.widgets.status_bar import Banner
from contracts.channels import Channel, Lane, Priority
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.unit.console.world import CONNECTED, LOST, NOON, backlog, changed, reported
from tests.waiting import until

EMAIL_LOW = Lane(Channel.EMAIL, Priority.LOW)
PUSH_LOW = Lane(Channel.PUSH, Priority.LOW)


class TestStaleness:
    async def test_after_three_seconds_a_banner_says_the_numbers_are_old(
        self, console: Open
    ):
        async with console() as desk:
            await desk.wait(2.5)
            assert not desk.screen.query_one(Banner).display
            assert "live 2s" in desk.text()

            await desk.wait(0.2)
            assert desk.lines()[1].startswith(" STALE 3s: last known numbers")

            await desk.wait(9)
            assert "STALE 12s" in desk.lines()[1]

    async def test_a_lost_connection_clears_nothing(self, console: Open):
        async with console() as desk:
            before = desk.keys_shown(), desk.cell(5, "queued").plain
            await desk.tell(LOST)
            await desk.wait(60)

            assert "connection refused, attempt 3" in desk.text()
            assert "NATS down" in desk.text()
            assert (desk.keys_shown(), desk.cell(5, "queued").plain) == before

    async def test_old_numbers_are_dimmed_and_fresh_ones_are_not(self, console: Open):
        async with console() as desk:
            fresh = desk.cell(0, "queued").style
            await desk.wait(10)
            stale = desk.cell(0, "queued").style
            await desk.tell(LinkAnswered(seconds=0.001))

            assert stale != fresh
            assert desk.cell(0, "queued").style == fresh

    async def test_a_return_is_told_once(self, console: Open):
        async with console() as desk:
            await desk.tell(LOST)
            await desk.wait(40)
            await desk.tell(CONNECTED, backlog())
            desk.app.paint()
            await desk.pilot.pause()

            told = [n.message for n in desk.app._notifications]
            assert len(told) == 1
            assert told[0].startswith("back after 40 s")

    async def test_a_bus_without_our_streams_is_said_in_words(self, console: Open):
        problem = BacklogRead(problem="the bus has no stream NOTIFY yet")
        async with console(told=[(NOON, CONNECTED), (NOON, problem)]) as desk:
            assert desk.lines()[1].startswith(" The bus has no stream NOTIFY yet")

    async def test_a_slow_bus_shows_in_its_chip(self, console: Open):
        async with console() as desk:
            await desk.tell(LinkAnswered(seconds=2.1))

            assert "NATS slow 2.1s" in desk.lines()[0]

    async def test_troubled_servers_show_whatever_the_width(self, console: Open):
        async with console(size=SMALL) as desk:
            await desk.tell(
                reported(
                    NOON + 0.4, dependencies={"postgres": "no answer", "redis": "ok"}
                )
            )

            assert "PG no answer" in desk.lines()[0]
            assert desk.lines()[0].rstrip().endswith("10:42:07Z")

    async def test_a_source_that_fails_is_started_again(self, console: Open):
        class Faulty(ScriptedSource):
            runs = 0

            async def run(self, sink: Sink) -> None:
                self.runs += 1
                raise ZeroDivisionError

        async with console() as desk:
            faulty = Faulty()
            desk.app._source = faulty
            task = asyncio.create_task(desk.app._listen())
            await until(lambda: faulty.runs >= 2)
            task.cancel()

            assert "fault in the console" in desk.app.model.snapshot(NOON).link.reason


class TestPainting:
    @pytest.mark.parametrize("above", ["a", "question_mark", "ctrl+p"])
    async def test_a_screen_that_one_comes_back_to_shows_what_holds_now(
        self, console: Open, monkeypatch: pytest.MonkeyPatch, above: str
    ):
        """A key pressed at once must not go by what held when one left."""
        monkeypatch.setattr("console.app.PAINT_SECONDS", 3600)
        async with console() as desk:
            await desk.pilot.press(above)
            await desk.tell(backlog(4711))
            assert "4,711" not in desk.text()

            await desk.pilot.press("escape")
            await until(lambda: "4,711" in desk.text())

    async def test_the_first_numbers_do_not_wait_for_the_clock(
        self, console: Open, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("console.app.PAINT_SECONDS", 3600)
        async with console(told=()) as desk:
            desk.source.tell(CONNECTED, backlog(4711))
            await until(lambda: "4,711" in desk.text())

    async def test_a_frozen_display_holds_still_while_the_model_listens(
        self, console: Open
    ):
        async with console() as desk:
            before = desk.cell(0, "queued").plain
            await desk.press("p")
            await desk.tell(backlog(4_321))
            await desk.wait(5)
            assert desk.cell(0, "queued").plain == before
            assert "FROZEN 5s" in desk.lines()[0]

            await desk.press("p")
            assert desk.cell(0, "queued").plain == "4,321"

    async def test_a_flood_of_events_leaves_the_keys_quick(self, console: Open):
        """The best of five: what else the machine does disturbs some, slowness all."""
        async with console() as desk:
            took = [await self.answered_after_a_flood(desk) for _ in range(5)]

            assert min(took) < 0.3

    async def answered_after_a_flood(self, desk: Desk) -> float:
        """Return the seconds from a key to the painted screen, 20,000 events behind."""
        await desk.press("4")
        for n in range(20_000):
            at = NOON + n / 20_000
            desk.app.model.apply(changed(at, n), at)
        began = time.perf_counter()
        desk.app.simulate_key("6")
        await until(lambda: isinstance(desk.app.screen, ServicesScreen))
        desk.app.paint_now()
        return time.perf_counter() - began

    async def test_events_alone_draw_nothing(self, console: Open):
        """Only the clock draws: pictures change with time, not with events."""
        async with console() as desk:
            begun = time.monotonic()
            pictures = [desk.screen.picture]
            for n in range(1_000):
                desk.app.receive(changed(NOON, n))
                await asyncio.sleep(0)
                if desk.screen.picture is not pictures[-1]:
                    pictures.append(desk.screen.picture)
            ticks = (time.monotonic() - begun) / PAINT_SECONDS

            assert len(pictures) - 1 <= ticks + 1

    async def test_nothing_new_is_painted_once_a_second(self, console: Open):
        async with console() as desk:
            before = desk.screen.picture
            desk.app.paint()
            assert desk.screen.picture is before

            desk.clock.now += 1
            desk.app.paint()
            assert desk.screen.picture is not before

    async def test_refresh_asks_the_source(self, console: Open):
        async with console() as desk:
            await desk.press("r")

            assert desk.source.refreshes == 1

    async def test_themes_that_do_not_know_our_colours_can_draw(self, console: Open):
        async with console(theme="ansi-light") as desk:
            for keys in EVERY_SCREEN:
                await desk.press(*keys)
                assert "tocsin" in desk.lines()[0]

    async def test_a_theme_can_be_changed_while_running(self, console: Open):
        async with console() as desk:
            before = desk.cell(0, "queued").style
            desk.app.theme = "tocsin-light"
            await desk.pilot.pause()
            await desk.paint()

            assert desk.cell(0, "queued").style != before


EVERY_SCREEN = (
    ["1"],
    ["enter"],
    ["escape", "2"],
    ["4"],
    ["5"],
    ["enter"],
    ["escape", "6"],
    ["7"],
    ["enter"],
)


class TestLayout:
    @pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
    async def test_nothing_is_cut_off(self, console: Open, size: tuple[int, int]):
        async with console(size=size) as desk:
            for keys in EVERY_SCREEN:
                await desk.press(*keys)
                screen = desk.app.screen

                for widget in screen.walk_children(Widget):
                    if widget.is_on_screen and widget.region:
                        assert screen.region.contains_region(widget.region), widget
                for table in screen.query(KeyedTable):
                    assert table.virtual_size.width <= table.size.width
                assert screen.query_one(Footer).max_scroll_x == 0
                assert "Quit" in desk.lines()[-1]

    async def test_old_news_leaves_the_layout_whole(self, console: Open):
        async with console(size=SMALL) as desk:
            await desk.tell(LOST)
            await desk.wait(10)
            for keys in EVERY_SCREEN:
                await desk.press(*keys)

                assert desk.lines()[1].startswith(" STALE")
                assert desk.lines()[1].rstrip().endswith("attempt 3, trying")
                assert "Quit" in desk.lines()[-1]

    async def test_ascii_means_ascii(self, console: Open):
        async with console(ascii_only=True) as desk:
            for keys in EVERY_SCREEN:
                await desk.press(*keys)

                assert {c for c in desk.text() if not c.isascii()} == set()

    async def test_production_has_a_red_edge(self, console: Open):
        async with console(place=Place(name="eu-production")) as desk:
            assert desk.screen.query_one("#status").has_class("-production")
        async with console() as desk:
            assert not desk.screen.query_one("#status").has_class("-production")


async def test_the_source_feeds_the_model(console: Open):
    async with console(told=[]) as desk:
        desk.source.tell(CONNECTED, backlog(5))

        await until(lambda: desk.app.model.snapshot(NOON).totals.queued == 45)
