"""The screen of dead letters, on a gateway of its own."""

from pathlib import Path

import msgspec
import pytest

from console.acting import Rights
from console.events import OperatorReported
from console.operator import Letter
from console.operator.scripted import ScriptedOperator
from console.place import Place
from console.screens.confirm import ConfirmScreen
from console.screens.dlq import DlqScreen
from console.screens.trace import TraceScreen
from contracts.operations import LetterFilter, OperationKind, OperationState
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.integration.console.dialogs import ARMED, dialog, fill, settle
from tests.unit.console.people import letter, notification, queued_trace
from tests.unit.console.world import NOON, backlog, moment


@pytest.fixture
def operator() -> ScriptedOperator:
    """A gateway with 250 letters of one cause, and seven of another."""
    operator = ScriptedOperator("ann", clock=lambda: moment(NOON))
    operator.bury(
        *(
            letter(
                channel="email",
                class_="transient",
                reason="the provider answered 503",
                attempts=5,
                failed_at=moment(NOON - 60 * number),
            )
            for number in range(250)
        ),
        *(
            letter(reason="not a number", failed_at=moment(NOON - 10 * number))
            for number in range(7)
        ),
    )
    return operator


async def enter(desk: Desk) -> DlqScreen:
    """Go to the screen, and wait for what it looks up."""
    await desk.press("2")
    await settle(desk)
    assert isinstance(desk.screen, DlqScreen)
    return desk.screen


async def narrow(desk: Desk, text: str) -> None:
    await desk.filter(text)
    await settle(desk)


class TestLooking:
    async def test_groups_come_first_the_most_frequent_on_top(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            text = desk.text()

            assert "257 open in 2 groups" in text
            assert desk.table.row_count == 2
            assert "▸ email / transient" in desk.cell(0, "died of").plain
            assert desk.cell(0, "count").plain.strip() == "250"

    async def test_enter_opens_a_group_by_pages_of_two_hundred(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            await desk.press("enter")
            await settle(desk)
            assert desk.table.row_count == 2 + 200 + 1

            desk.table.move_cursor(row=201)
            await desk.press("enter")
            await settle(desk)
            assert desk.table.row_count == 2 + 250

            desk.table.move_cursor(row=0)
            await desk.press("enter")
            assert desk.table.row_count == 2

    async def test_enter_on_a_letter_shows_what_happened_to_it(
        self, console: Open, operator: ScriptedOperator
    ):
        known = notification()
        operator.add(known, queued_trace())
        operator.bury(letter(notification_id=known.id, channel="push"))
        async with console(operator=operator) as desk:
            await enter(desk)
            await narrow(desk, "channel:push")
            await desk.press("enter")
            await settle(desk)
            await desk.press("down", "enter")
            await settle(desk)
            assert isinstance(desk.screen, TraceScreen)
            assert str(known.id) in desk.text()

            await desk.press("escape")
            await desk.pilot.pause()
            assert desk.app.current_mode == "dlq"

    async def test_a_filter_is_asked_of_the_gateway(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            await narrow(desk, "class:perm age:<30s")

            assert "3 open in 1 group" in desk.text()

            await narrow(desk, "class:perm reason:nonsense")
            assert (
                "No dead letters match 'class:perm reason:nonsense'; esc shows all."
                in desk.text()
            )

            await desk.press("escape")
            await settle(desk)
            assert "257 open in 2 groups" in desk.text()

    async def test_a_filter_that_the_gateway_could_not_run_says_why(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            await narrow(desk, "503")

            assert "say of which field" in desk.text()
            assert "257 open in 2 groups" in desk.text()

    async def test_it_holds_still_and_counts_what_is_new(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await desk.tell(backlog(dead_letters=257))
            await enter(desk)
            operator.bury(*(letter(reason="not a number") for _ in range(3)))
            await desk.tell(backlog(dead_letters=260))

            assert "3 new, r shows them" in desk.text()
            assert "257 open" in desk.text()

            await desk.press("r")
            await settle(desk)
            assert "260 open" in desk.text()
            assert "new, r shows" not in desk.text()

    async def test_the_first_letter_shows_by_itself(self, console: Open):
        operator = ScriptedOperator("ann", clock=lambda: moment(NOON))
        async with console(operator=operator) as desk:
            await desk.tell(backlog(dead_letters=0))
            await enter(desk)
            assert "There are no dead letters." in desk.text()

            operator.bury(letter())
            await desk.tell(backlog(dead_letters=1))
            await settle(desk)
            assert "1 open in 1 group" in desk.text()

    async def test_sorting_keeps_letters_below_their_group(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            await desk.press("down", "enter")
            await settle(desk)
            while desk.table.sorted_by != "count":
                await desk.press("s")
            await desk.press("o")

            assert "▾ sms" in desk.cell(0, "died of").plain
            assert desk.cell(7, "count").plain.strip() == "1 attempt"
            assert "▸ email" in desk.cell(8, "died of").plain
            assert desk.table.cursor_key == "sms / permanent / not a number"


class TestWithoutAnAnswer:
    async def test_a_gateway_that_is_away_is_said_and_asked_again(
        self, console: Open, operator: ScriptedOperator
    ):
        operator.away = True
        async with console(operator=operator) as desk:
            await enter(desk)
            assert "Connection refused. r asks again." in desk.text()

            operator.away = False
            await desk.wait(3)
            await settle(desk)
            assert "257 open" in desk.text()

    async def test_one_that_goes_leaves_what_was_known_and_says_that_it_is_old(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            operator.away = True
            await desk.press("r")
            await settle(desk)

            assert "257 open" in desk.text()
            assert "old: http://gateway cannot be reached" in desk.text()
            assert desk.table.row_count == 2

    async def test_without_a_gateway_it_says_where_letters_come_from(
        self, console: Open
    ):
        rights = Rights(without="say where it is with --gateway-url")
        async with console(rights=rights) as desk:
            await enter(desk)

            assert "Dead letters come through a gateway: say where it is" in desk.text()


class TestChanging:
    async def test_read_only_greys_both(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await enter(desk)
            for key in ("R", "D"):
                await desk.press(key)
                assert isinstance(desk.screen, DlqScreen)
                assert not desk.screen.active_bindings[key].enabled

    async def test_a_group_is_replayed_at_a_rate_for_a_reason(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await desk.press("R")
            await settle(desk)
            assert "250 are queued again" in desk.text()

            await fill(desk, number="20", reason="the provider is back", typed="249")
            dialog(desk).action_yes()
            await desk.pilot.pause()
            assert isinstance(desk.app.screen, ConfirmScreen)
            await fill(desk, typed="250")
            dialog(desk).action_yes()
            await settle(desk)

            [operation] = await operator.operations()
            assert operation.kind == OperationKind.REPLAY
            assert (operation.total, operation.rate_per_second) == (250, 20)
            assert operation.reason == "the provider is back"

    async def test_when_it_is_done_the_screen_looks_again(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await desk.press("R")
            await settle(desk)
            await fill(desk, reason="back", typed="250")
            dialog(desk).action_yes()
            await settle(desk)
            [operation] = await operator.operations()
            operator.finish(operation.id)
            await desk.tell(
                *(OperatorReported(acted=acted) for acted in operator.acted)
            )
            await desk.app.acting._ask(operator)
            await desk.wait(1)
            await settle(desk)

            assert "7 open in 1 group" in desk.text()

    async def test_the_letter_under_the_cursor_asks_only_yes_or_no(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await narrow(desk, "channel:sms")
            await desk.press("enter")
            await settle(desk)
            await desk.press("down")
            one = desk.table.cursor_key
            await desk.press("R", "y")
            await settle(desk)

            [operation] = await operator.operations()
            assert operation.total == 1
            page = await operator.letters(LetterFilter())
            assert one not in {str(left.id) for left in page.items}

    async def test_marks_are_what_is_acted_on_and_escape_takes_them(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await narrow(desk, "channel:sms")
            await desk.press("enter")
            await settle(desk)
            await desk.press("down", "space", "space")
            assert "2 marked" in desk.text()
            await desk.press("R")
            await settle(desk)
            assert "2 are queued again" in desk.text()

            await desk.press("escape")
            await desk.press("escape")
            assert "marked" not in desk.text()
            assert "7 open" in desk.text()

    async def test_one_is_spoken_of_as_one(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await desk.press("enter")
            await settle(desk)
            await desk.press("down", "D")
            await settle(desk)
            assert "1 is put away for good" in desk.text()

    async def test_all_that_match_are_discarded_once_that_was_typed(
        self,
        console: Open,
        operator: ScriptedOperator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.chdir(tmp_path)
        async with console(operator=operator, rights=ARMED) as desk:
            await enter(desk)
            await narrow(desk, "class:permanent")
            await desk.press("asterisk", "D")
            await settle(desk)
            assert "filter  class:permanent" in desk.text()
            assert "7 are put away for good" in desk.text()

            dialog(desk).action_export()
            await settle(desk)
            [exported] = tmp_path.glob("*.ndjson")
            assert len(exported.read_bytes().splitlines()) == 7

            await fill(desk, reason="wrong import", typed="discard 6")
            dialog(desk).action_yes()
            assert isinstance(desk.app.screen, ConfirmScreen)
            await fill(desk, typed="discard 7")
            dialog(desk).action_yes()
            await settle(desk)

            [operation] = await operator.operations()
            assert (operation.kind, operation.total) == (OperationKind.DISCARD, 7)
            assert operation.state is OperationState.RUNNING

    async def test_production_wants_to_be_told_that_destroying_is_meant(
        self, console: Open, operator: ScriptedOperator
    ):
        place = Place(name="eu-production")
        async with console(operator=operator, rights=ARMED, place=place) as desk:
            await enter(desk)
            await desk.press("D")
            assert isinstance(desk.screen, DlqScreen)
            await desk.press("R")
            await settle(desk)
            assert isinstance(desk.app.screen, ConfirmScreen)

    async def test_what_is_shown_can_be_taken_away(
        self,
        console: Open,
        operator: ScriptedOperator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.chdir(tmp_path)
        async with console(operator=operator) as desk:
            await enter(desk)
            await narrow(desk, "channel:sms")
            await desk.press("e")
            await settle(desk)

            [path] = tmp_path.glob("*.ndjson")
            letters = [
                msgspec.json.decode(line, type=Letter)
                for line in path.read_bytes().splitlines()
            ]
            assert {one.channel for one in letters} == {"sms"}
            assert len(letters) == 7


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
async def test_nothing_is_cut_off(
    console: Open, operator: ScriptedOperator, size: tuple[int, int]
):
    async with console(operator=operator, rights=ARMED, size=size) as desk:
        await enter(desk)
        await desk.press("enter")
        await settle(desk)
        await narrow(desk, "class:transient")

        table = desk.table
        assert table.virtual_size.width <= table.size.width
        assert not desk.screen.show_vertical_scrollbar
        assert "/ class:transient" in desk.lines()[-2]
        assert "Quit" in desk.lines()[-1]
