import asyncio
import json
import time

import pytest
from textual.widget import Widget
from textual.widgets import Footer, Input

from console.app import PAINT_SECONDS
from console.events import BacklogRead, LinkAnswered
from console.place import Place
from console.screens.feed import FeedScreen
from console.screens.help import HelpScreen
from console.screens.lane import LaneScreen
from console.screens.lanes import LanesScreen
from console.screens.providers import ProvidersScreen
from console.screens.schedule import ScheduleScreen
from console.screens.services import ServicesScreen
from console.source import Sink
from console.source.scripted import ScriptedSource
from console.widgets.feed_view import FeedView
from console.widgets.keyed_table import KeyedTable
from console.widgets.status_bar import Banner
from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.unit.console.world import CONNECTED, LOST, NOON, backlog, changed, reported
from tests.waiting import until

EMAIL_LOW = Lane(Channel.EMAIL, Priority.LOW)
PUSH_LOW = Lane(Channel.PUSH, Priority.LOW)


def feed(desk: Desk) -> FeedView:
    return desk.screen.query_one("#feed", FeedView)


class TestScreens:
    async def test_number_keys_switch_screens(self, console: Open):
        async with console() as desk:
            for key, screen in (
                ("4", FeedScreen),
                ("5", ProvidersScreen),
                ("6", ServicesScreen),
                ("7", ScheduleScreen),
                ("1", LanesScreen),
            ):
                await desk.press(key)
                assert isinstance(desk.screen, screen)

    async def test_only_screens_that_exist_have_a_key(self, console: Open):
        async with console() as desk:
            for key in "8990":
                await desk.press(key)
                assert isinstance(desk.screen, LanesScreen)

    async def test_enter_opens_a_lane_and_escape_leaves_it(self, console: Open):
        async with console() as desk:
            await desk.press("down", "enter")
            assert isinstance(desk.screen, LaneScreen)
            assert "sms/normal" in desk.text()
            assert "transient" in desk.text()

            await desk.press("escape")
            assert isinstance(desk.screen, LanesScreen)
            assert desk.table.cursor_key == "sms/normal"

    async def test_the_key_of_the_screen_one_is_in_leads_to_its_first_page(
        self, console: Open
    ):
        async with console() as desk:
            await desk.press("enter")
            await desk.press("1")

            assert isinstance(desk.screen, LanesScreen)

    async def test_help_names_every_key_of_the_screen(self, console: Open):
        async with console() as desk:
            await desk.press("question_mark")
            assert isinstance(desk.app.screen, HelpScreen)
            assert "Open what is under the cursor" in desk.text()

            await desk.press("escape")
            assert isinstance(desk.screen, LanesScreen)

    async def test_nothing_is_drawn_under_a_dialog(self, console: Open):
        async with console() as desk:
            await desk.press("question_mark")
            below = desk.app.screen_stack[0]
            assert isinstance(below, LanesScreen)
            before = below.picture
            await desk.tell(backlog(77))

            assert below.picture is before

    async def test_the_palette_offers_the_keys_of_the_screen(self, console: Open):
        async with console() as desk:
            commands = {c.title for c in desk.app.get_system_commands(desk.screen)}

            assert {"Sort", "Filter", "Services", "Freeze", "Theme"} <= commands

    @pytest.mark.parametrize("key", ["q", "ctrl+q"])
    async def test_it_can_be_left(self, console: Open, key: str):
        async with console() as desk:
            await desk.pilot.press(key)
            await desk.pilot.pause()

            assert desk.app.return_code == 0

    async def test_ctrl_c_does_not_leave(self, console: Open):
        async with console() as desk:
            await desk.press("ctrl+c")

            assert desk.app.return_code is None


class TestTables:
    async def test_the_cursor_stays_on_its_lane_when_the_table_is_sorted(
        self, console: Open
    ):
        async with console() as desk:
            desk.table.move_cursor(row=2)
            assert desk.table.cursor_key == "sms/low"

            for _ in range(5):
                await desk.press("s")
                assert desk.table.cursor_key == "sms/low"

    async def test_the_cursor_stays_on_its_lane_while_rows_move(self, console: Open):
        async with console() as desk:
            await desk.press(*"sssss")
            assert desk.table.sorted_by == "queued"
            assert desk.keys_shown()[0] == "email/low"
            await desk.press("home")
            assert desk.table.cursor_key == "email/low"

            await desk.tell(backlog({PUSH_LOW: 99_999, EMAIL_LOW: 4}))

            assert desk.keys_shown()[:2] == ["push/low", "email/low"]
            assert desk.table.cursor_key == "email/low"
            assert desk.table.cursor_row == 1

    async def test_the_worst_comes_first_only_when_asked(self, console: Open):
        async with console() as desk:
            assert desk.keys_shown()[:2] == ["sms/high", "sms/normal"]
            await desk.press("s", "s", "s")
            assert desk.table.sorted_by == "state"
            assert desk.keys_shown()[0] == "sms/normal"

            await desk.press("o")
            assert desk.keys_shown()[-1] == "sms/normal"

    async def test_a_row_that_leaves_gives_the_cursor_to_its_place(self, console: Open):
        async with console() as desk:
            await desk.press("down", "down")
            await desk.filter("!prio:low")

            assert desk.table.cursor_key == "email/high"
            assert desk.table.has_focus

    async def test_vim_keys_move_the_cursor(self, console: Open):
        async with console() as desk:
            await desk.press("j", "j", "k")

            assert desk.table.cursor_key == "sms/normal"

    async def test_only_changed_cells_are_written(
        self, console: Open, monkeypatch: pytest.MonkeyPatch
    ):
        async with console() as desk:
            written: list[object] = []
            monkeypatch.setattr(
                desk.table, "update_cell_at", lambda *args, **_: written.append(args)
            )
            await desk.paint()
            assert written == []

            same = desk.app.model.snapshot(desk.clock.now).lanes
            queued = {Lane(v.channel, v.priority): v.queued or 0 for v in same}
            queued[PUSH_LOW] += 1_000
            await desk.tell(backlog(queued))
            assert 0 < len(written) < 40

    async def test_columns_fit_the_terminal_after_a_resize(self, console: Open):
        async with console() as desk:
            assert "last 60 s" in desk.text()
            await desk.pilot.resize_terminal(*SMALL)
            await desk.paint()

            assert "last 60 s" not in desk.text()
            assert "oldest" in desk.text()
            assert desk.table.cursor_key == "sms/high"


class TestFilter:
    async def test_a_filter_shows_what_matches_and_says_how_much(self, console: Open):
        async with console() as desk:
            await desk.press("slash", *"ch:sms")

            assert desk.keys_shown() == ["sms/high", "sms/normal", "sms/low"]
            assert "3 of 9" in desk.text()

    async def test_keys_are_text_while_a_filter_is_typed(self, console: Open):
        async with console() as desk:
            await desk.press("slash", *"sq14z")

            assert isinstance(desk.screen, LanesScreen)
            assert desk.screen.query_one(Input).value == "sq14z"

    async def test_a_filter_stays_in_sight_until_escape_clears_it(self, console: Open):
        async with console() as desk:
            await desk.filter("push")
            assert "push" in desk.lines()[-2]

            await desk.press("escape")
            assert len(desk.keys_shown()) == 9
            assert "3 of 9" not in desk.text()

    async def test_an_unclear_filter_says_why_and_hides_nothing(self, console: Open):
        async with console() as desk:
            await desk.filter("colour:red")

            assert "no field 'colour'" in desk.text()
            assert len(desk.keys_shown()) == 9

    async def test_none_matching_is_told_apart_from_none_there(self, console: Open):
        async with console() as desk:
            await desk.filter("carrier")
            assert "No lanes match 'carrier'; esc shows all." in desk.text()

        async with console(told=[(NOON, CONNECTED)]) as desk:
            await desk.press("4")
            assert "Nothing has happened yet" in desk.text()

    async def test_only_what_is_in_trouble(self, console: Open):
        async with console() as desk:
            await desk.press("z")
            assert desk.keys_shown() == ["sms/normal"]
            assert "in trouble 1 of 9" in desk.text()

            await desk.press("escape")
            assert len(desk.keys_shown()) == 9
            assert "in trouble" not in desk.text()


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


class TestFeed:
    async def test_the_feed_follows_until_one_moves_up(self, console: Open):
        async with console() as desk:
            await desk.press("4")
            assert "following" in desk.text()
            await desk.press("up", "up")
            chosen = feed(desk).cursor_line
            await desk.tell(*(changed(desk.clock.now, n) for n in range(2)))
            await desk.wait(2)
            await desk.tell(*(changed(desk.clock.now, n) for n in range(3)))

            assert "+5 new" in desk.text()
            assert feed(desk).cursor_line is chosen

            await desk.press("f")
            assert "following" in desk.text()
            assert feed(desk).cursor_line is desk.app.model.snapshot(NOON).feed[-1]

    async def test_a_feed_that_was_empty_when_opened_can_be_moved_in(
        self, console: Open
    ):
        async with console(told=[(NOON, CONNECTED)]) as desk:
            await desk.press("4")
            await desk.tell(*(changed(NOON, n) for n in range(3)))
            await desk.press("up")

            assert feed(desk).has_focus
            assert feed(desk).cursor_line is desk.app.model.snapshot(NOON).feed[-2]

    async def test_a_filter_without_a_match_leaves_the_cursor_in_the_feed(
        self, console: Open
    ):
        async with console() as desk:
            await desk.press("4")
            await desk.filter("nothing-like-it")
            assert "No lines match 'nothing-like-it'" in desk.text()

            await desk.press("escape")
            await desk.press("up")
            assert feed(desk).has_focus
            assert not feed(desk).following

    async def test_the_cursor_keeps_its_line_when_old_lines_leave(self, console: Open):
        async with console() as desk:
            await desk.press("4")
            await desk.press("up")
            chosen = feed(desk).cursor_line
            for n in range(500):
                desk.app.model.apply(changed(NOON + n, n), NOON + n)
            await desk.paint()

            assert feed(desk).cursor_line is chosen

    async def test_a_filter_of_the_feed_reads_what_events_say(self, console: Open):
        failed = changed(
            NOON,
            7,
            status=Status.FAILED,
            failure_class=FailureClass.PERMANENT,
            tenant="acme",
        )
        told = [(NOON, CONNECTED), (NOON, changed(NOON, 1)), (NOON, failed)]
        async with console(told=told) as desk:
            await desk.press("4")
            await desk.filter("tenant:acme class:perm")

            line = feed(desk).cursor_line
            assert line is not None
            assert line.change == failed.change

    async def test_copying_takes_the_line_under_the_cursor(self, console: Open):
        async with console() as desk:
            await desk.press("4", "up")
            line = feed(desk).cursor_line
            assert line is not None

            await desk.press("c")
            assert desk.app.clipboard == line.subject

            await desk.press("y")
            assert json.loads(desk.app.clipboard)["serial"] == line.serial

    async def test_times_of_day_or_how_long_ago(self, console: Open):
        async with console() as desk:
            await desk.press("4")
            assert "10:42:06" in desk.text()
            await desk.press("t")
            assert "0s ago" in desk.text()


class TestServices:
    async def test_a_lost_service_is_a_row_and_a_chip(self, console: Open):
        async with console() as desk:
            for second in range(1, 6):
                others = [
                    reported(NOON + second, service=name, instance=instance)
                    for name, instance in (
                        ("gateway", "mesh-7c2-301"),
                        ("dispatcher", "mesh-7c2-305"),
                    )
                ]
                desk.clock.now = NOON + second + 0.4
                await desk.tell(backlog(), *others)
            await desk.press("6")

            assert "1 lost" in desk.lines()[0]
            row = next(line for line in desk.lines() if "mesh-7c2-310" in line)
            assert "✕ lost" in row

    async def test_the_row_under_the_cursor_says_more(self, console: Open):
        async with console() as desk:
            await desk.press("6")
            assert "intake_waiting" in desk.text()

            await desk.press("down")
            assert "email/low" in desk.text()

    async def test_copying_takes_the_instance(self, console: Open):
        async with console() as desk:
            await desk.press("6", "c")

            assert desk.app.clipboard == "mesh-7c2-301"


class TestPainting:
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
