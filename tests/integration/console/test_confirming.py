"""The dialogs before a change: what they ask, refuse, and fit into."""

import pytest
from textual.widget import Widget
from textual.widgets import Button, Footer, Input

from console.acting import Rights
from console.changes import Change, Choices, Preview
from console.events import ControlHeard
from console.keys import Level
from console.operator import LimitTarget
from console.operator.scripted import ScriptedOperator
from console.place import Place
from console.screens.lanes import LanesScreen
from contracts.channels import Channel
from contracts.controls import Pause, RateLimit
from contracts.operations import LetterFilter, OperationKind, OperationState
from contracts.outcomes import FailureClass
from contracts.oversight import Action
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.integration.console.dialogs import (
    ARMED,
    SMS_HIGH,
    announce,
    dialog,
    field,
    fill,
    settle,
)
from tests.unit.console.people import letter
from tests.unit.console.world import NOON, moment
from tests.waiting import until


class TestMany:
    async def paused_channel(self, desk: Desk) -> None:
        await desk.press("P", "c")
        await settle(desk)
        assert "Pause all of sms" in desk.text()

    async def test_it_wants_a_reason_and_the_channel_typed(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await self.paused_channel(desk)
            yes = dialog(desk).query_one("#yes", Button)
            for values, note in (
                ({"reason": "", "typed": "sms"}, "say why"),
                ({"reason": "why", "typed": "sm"}, "type sms to mean it"),
                ({"reason": "why", "typed": "email"}, "type sms to mean it"),
            ):
                await fill(desk, **values)
                assert yes.disabled
                field(desk, "typed").focus()
                await desk.press("enter")
                assert note in desk.text()
            assert (await operator.audit()).items == []

            await fill(desk, reason="they asked", typed="sms")
            assert not yes.disabled
            await desk.press("enter")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.target, entry.reason) == ("sms", "they asked")

    async def test_the_keyboard_alone_is_enough(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await self.paused_channel(desk)
            await desk.press("down", "n", "o", "space", "y", "enter", *"sms", "enter")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.target, entry.reason) == ("sms", "no y")

    async def test_a_wrong_answer_is_told_where_it_was_given_and_stays(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("L")
            await settle(desk)
            await desk.press("down", *"many", "enter")
            assert desk.app.focused is field(desk, "number")
            assert "a number from 0 to 1,000,000" in desk.text()

            await fill(desk, number="4")
            await desk.press("enter", "enter")
            assert desk.app.focused is field(desk, "reason")
            assert "say why" in desk.text()

            await fill(desk, typed="sms")
            field(desk, "typed").focus()
            await desk.press("enter")
            assert desk.app.focused is field(desk, "reason")

            await desk.press("x", "enter", "enter")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.target, entry.reason) == ("channel.sms", "x")

    async def test_leaving_the_wider_question_leaves_all(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await self.paused_channel(desk)
            await desk.press("escape")
            assert isinstance(desk.screen, LanesScreen)
        assert (await operator.audit()).items == []

    async def test_a_paused_channel_is_resumed_as_a_channel(
        self, console: Open, operator: ScriptedOperator
    ):
        pause = Pause(by="bob", at=moment(NOON - 240))
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.tell(ControlHeard(key="pause.sms", control=pause))
            await desk.press("P")
            await settle(desk)
            await fill(desk, reason="they are back", typed="sms")
            field(desk, "typed").focus()
            await desk.press("enter")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.action, entry.target) == ("lane.resumed", "sms")

    async def test_a_limit_is_set_by_number(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("L")
            await settle(desk)
            assert "now 100 per second" in desk.text()
            for wrong in ("", "-1", "many", "2000000"):
                await fill(desk, number=wrong, reason="why", typed="sms")
                assert dialog(desk).query_one("#yes", Button).disabled

            field(desk, "number").focus()
            await fill(desk, number="4.5", reason="a new contract", typed="sms")
            await desk.press("enter", "enter", "enter")
            await settle(desk)

        [limit] = await operator.limits()
        assert (limit.target, limit.per_second) == ("channel.sms", 4.5)

    async def test_a_wrong_limit_is_undone(
        self, console: Open, operator: ScriptedOperator
    ):
        target = LimitTarget("channel", Channel.SMS)
        await operator.set_limit(target, 40, "a contract")
        await operator.set_limit(target, 4, "a slip")
        async with console(operator=operator, rights=ARMED) as desk:
            slip = RateLimit(by="ann", at=moment(NOON), per_second=4, reason="a slip")
            await desk.tell(ControlHeard(key="rate.channel.sms", control=slip))
            assert "sms limit 4/s by ann" in desk.text()

            await desk.press("U")
            await settle(desk)
            assert "goes back to 40 per second" in desk.text()
            await fill(desk, reason="a slip", typed="sms")
            field(desk, "typed").focus()
            await desk.press("enter")
            await settle(desk)

        assert [one.per_second for one in await operator.limits()] == [40]

    async def test_where_nothing_was_set_nothing_can_be_undone(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("U")
            await settle(desk)

            assert "Nobody has changed the limit of sms" in desk.text()
            await fill(desk, reason="why", typed="")
            assert dialog(desk).query_one("#yes", Button).disabled


class TestDestroy:
    """Nothing in reach of these screens destroys: the dialog is asked directly."""

    def change(self, operator: ScriptedOperator, exports: list[str]) -> Change:
        which = LetterFilter(class_=FailureClass.PERMANENT)

        async def preview() -> Preview:
            told = await operator.forecast(OperationKind.DISCARD, which)
            return Preview(
                effect=f"{told.count} are discarded for good.",
                typed=f"discard {told.count}",
                samples=tuple(str(letter.id) for letter in told.samples),
            )

        async def export() -> str:
            exports.append("letters.json")
            return "letters.json"

        return Change(
            action=Action.LETTERS_DISCARDED,
            title="Discard sms / permanent",
            target="sms / permanent",
            level=Level.DESTROY,
            effect="Asked of the gateway.",
            filter_text="class:permanent",
            act=lambda choices: operator.discard(which, reason=choices.reason),
            preview=preview,
            export=export,
        )

    async def test_it_offers_an_export_and_wants_the_words_typed(
        self, console: Open, operator: ScriptedOperator
    ):
        operator.bury(*(letter() for _ in range(4)))
        exports: list[str] = []
        async with console(operator=operator, rights=ARMED, size=SMALL) as desk:
            desk.screen.propose(self.change(operator, exports))
            await desk.pilot.pause()
            await settle(desk)
            for words in ("4 are discarded", "class:permanent", "type discard 4"):
                assert words in desk.text()
            await desk.press("e")
            await settle(desk)
            assert exports == ["letters.json"]
            assert "exported to letters.json" in desk.text()

            yes = dialog(desk).query_one("#yes", Button)
            for typed in ("4", "discard", "discard 5", "discard 4 "):
                await fill(desk, reason="a test", typed=typed)
                assert yes.disabled == (typed.strip() != "discard 4"), typed
            await desk.pilot.click("#yes")
            await settle(desk)

            [operation] = await operator.operations()
            assert (operation.kind, operation.total) == ("discard", 4)
            await desk.press("a")
            await settle(desk)
            assert "pending" in desk.text()
            assert str(operation.id) in desk.text()

    async def test_its_operation_is_followed_to_its_end(
        self, console: Open, operator: ScriptedOperator, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("console.acting.FOLLOW_SECONDS", 0.05)
        operator.bury(letter(), letter())
        async with console(operator=operator, rights=ARMED) as desk:
            change = self.change(operator, [])
            await desk.app.acting.perform(change, Choices(reason="a test"))
            [operation] = await operator.operations()
            operator.finish(operation.id, refused=1)
            actions = desk.app.model.actions
            await until(lambda: not actions.pending())

            [view] = actions.views()
            assert (view.state, view.words) == ("done", "1 of 2, 1 refused")

    async def test_what_goes_on_can_be_stopped_from_the_log(
        self, console: Open, operator: ScriptedOperator
    ):
        operator.bury(letter(), letter())
        async with console(operator=operator, rights=ARMED) as desk:
            change = self.change(operator, [])
            await desk.app.acting.perform(change, Choices(reason="a test"))
            await desk.press("a")
            await settle(desk)
            await desk.press("S", "y")
            await settle(desk)
            [operation] = await operator.operations()
            assert operation.state is OperationState.STOPPED

            await announce(desk, operator)
            states = {a.action: a.state for a in desk.app.model.actions.views()}
            assert states == {
                "letters.discarded": "stopped",
                "operation.stopped": "done",
            }
            commands = {c.title: c for c in desk.app.get_system_commands(desk.screen)}
            assert commands["Stop"].help == "not now: no operation goes on (S)"

    async def test_a_preview_that_fails_lets_nothing_be_done(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            change = self.change(operator, [])
            desk.screen.propose(change)
            operator.away = True
            await desk.pilot.pause()
            await settle(desk)
            assert "what would happen is not known" in desk.text()

            await fill(desk, reason="a test", typed="")
            assert dialog(desk).query_one("#yes", Button).disabled


class TestLayout:
    @pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
    async def test_dialogs_fit_the_terminal(
        self, console: Open, operator: ScriptedOperator, size: tuple[int, int]
    ):
        async with console(size=size, operator=operator, rights=ARMED) as desk:
            for keys in (["P"], ["c"]):
                await desk.press(*keys)
                await settle(desk)
                screen = desk.app.screen
                buttons = screen.query(Button)
                for widget in (*buttons, *screen.query(Input)):
                    assert screen.region.contains_region(widget.region), widget
                assert screen.query_one("#confirm").max_scroll_y == 0

    @pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
    async def test_the_log_fits_the_terminal(
        self, console: Open, operator: ScriptedOperator, size: tuple[int, int]
    ):
        await operator.pause(SMS_HIGH, "the provider asked us to wait for an hour")
        async with console(size=size, operator=operator, rights=ARMED) as desk:
            await desk.press("a")
            await settle(desk)
            assert "lane.paused" in desk.text()
            assert desk.table.virtual_size.width <= desk.table.size.width
            assert desk.screen.query_one(Footer).max_scroll_x == 0
            for widget in desk.screen.walk_children(Widget):
                if widget.is_on_screen and widget.region:
                    assert desk.screen.region.contains_region(widget.region), widget

    async def test_production_asks_for_more_before_it_destroys(self, console: Open):
        operator = ScriptedOperator()
        for place, destructive, reason in (
            ("staging", False, ""),
            ("production", False, "production: start with --allow-destructive"),
            ("production", True, ""),
        ):
            rights = Rights(armed=True, destructive=destructive)
            where = Place(name=place)
            async with console(operator=operator, rights=rights, place=where) as desk:
                assert desk.app._hindrance(Level.DESTROY) == reason
                assert desk.app._hindrance(Level.MANY) == ""
