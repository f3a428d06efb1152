import pytest
from rich.cells import cell_len
from textual.widgets import Input

from console.screens.feed import FeedScreen
from console.screens.help import HelpScreen
from console.screens.lane import LaneScreen
from console.screens.lanes import LanesScreen
from console.screens.providers import ProvidersScreen
from console.screens.schedule import ScheduleScreen
from console.screens.services import ServicesScreen
from contracts.channels import Channel, Lane, Priority
from tests.integration.console.conftest import SMALL, Open
from tests.unit.console.world import CONNECTED, NOON, backlog, reported
from tests.waiting import until

EMAIL_LOW = Lane(Channel.EMAIL, Priority.LOW)
PUSH_LOW = Lane(Channel.PUSH, Priority.LOW)


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

    async def test_the_palette_has_nothing_that_is_wider_than_a_letter(
        self, console: Open
    ):
        async with console(ascii_only=True) as desk:
            await desk.pilot.press("ctrl+p")
            await until(lambda: "What operators did" in desk.text())
            assert all(cell_len(line) == len(line) for line in desk.lines())

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
