"""Changing the system from the console: what is asked, what is refused, what is on record."""

import pytest
from textual.widget import Widget
from textual.widgets import Button, Footer, Input

from console.acting import Rights
from console.changes import Change, Choices, Preview
from console.events import ControlHeard, OperatorReported
from console.keys import KEYS, Level
from console.operator import LaneTarget, LimitTarget
from console.operator.scripted import ScriptedOperator
from console.place import Place
from console.screens.actions import ActionsScreen
from console.screens.confirm import ConfirmScreen
from console.screens.lanes import LanesScreen
from contracts.channels import Channel, Priority
from contracts.controls import Pause, RateLimit
from contracts.lifecycle import Status
from contracts.operations import LetterFilter, OperationKind, OperationState
from contracts.outcomes import FailureClass
from contracts.oversight import Action
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.unit.console.people import letter, notification, queued_trace
from tests.unit.console.world import CONNECTED, LOST, NOON, changed, moment
from tests.waiting import until

ARMED = Rights(armed=True)
SMS_HIGH = LaneTarget(Channel.SMS, Priority.HIGH)


@pytest.fixture
def operator() -> ScriptedOperator:
    return ScriptedOperator("ann", clock=lambda: moment(NOON))


def field(desk: Desk, name: str) -> Input:
    return desk.app.screen.query_one(f"#field-{name}", Input)


async def fill(desk: Desk, **values: str) -> None:
    for name, value in values.items():
        field(desk, name).value = value
    await desk.pilot.pause()


async def settle(desk: Desk) -> None:
    """Let what was begun be answered, and paint."""
    await desk.app.workers.wait_for_complete()
    await desk.pilot.pause()
    await desk.paint()


async def announce(desk: Desk, operator: ScriptedOperator) -> None:
    await desk.tell(*(OperatorReported(acted=acted) for acted in operator.acted))
    operator.acted.clear()


def dialog(desk: Desk) -> ConfirmScreen:
    assert isinstance(desk.app.screen, ConfirmScreen)
    return desk.app.screen


def footer_greys(desk: Desk, key: str) -> bool:
    return not desk.screen.active_bindings[key].enabled


class TestGreyed:
    async def test_without_rw_no_key_changes_anything(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            for key in ("P", "L", "U"):
                await desk.press(key)
                assert isinstance(desk.screen, LanesScreen)
                assert footer_greys(desk, key)
            assert "read-only" in desk.lines()[0]

        assert (await operator.audit()).items == []

    async def test_help_and_palette_say_why(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            commands = {
                c.title: c.help for c in desk.app.get_system_commands(desk.screen)
            }
            assert commands["Pause"] == "not now: read-only: start with --rw (P)"
            assert commands["Sort"] == "Sort by the next column (s)"

            await desk.press("question_mark")
            assert "not now: read-only: start with --rw" in desk.text()

    async def test_without_a_gateway_changes_are_greyed(self, console: Open):
        rights = Rights(armed=True, without="say where it is")
        async with console(rights=rights) as desk:
            await desk.press("P")

            assert isinstance(desk.screen, LanesScreen)
            key = next(key for key in KEYS if key.id == "pause")
            assert desk.screen.reason_against(key) == "no gateway: say where it is"

    async def test_a_gateway_that_does_not_answer_greys_changes_until_it_does(
        self, console: Open, operator: ScriptedOperator, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("console.acting.REACH_SECONDS", 0.05)
        operator.away = True
        async with console(operator=operator, rights=ARMED) as desk:
            await until(lambda: desk.app.acting.trouble)
            await desk.paint()
            assert "GW down" in desk.lines()[0]
            await desk.press("P")
            assert isinstance(desk.screen, LanesScreen)

            operator.away = False
            await until(lambda: not desk.app.acting.trouble)
            await desk.paint()
            assert "GW ok" in desk.lines()[0]
            await desk.press("P")
            assert isinstance(desk.app.screen, ConfirmScreen)

    async def test_a_lost_link_greys_changes_and_stops_an_open_dialog(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P")
            await desk.tell(LOST)
            await desk.wait(10)
            await desk.press("y")
            assert "no news from the bus" in desk.text()
            await desk.press("n")

            assert footer_greys(desk, "P")
            await desk.press("P")
            assert isinstance(desk.screen, LanesScreen)
        assert (await operator.audit()).items == []

    async def test_what_is_over_cannot_be_cancelled(
        self, console: Open, operator: ScriptedOperator
    ):
        told = [(NOON, CONNECTED), (NOON, changed(NOON, 1))]
        async with console(operator=operator, rights=ARMED, told=told) as desk:
            await desk.press("4", "X")
            key = next(key for key in KEYS if key.id == "cancel")

            assert desk.screen.reason_against(key) == "already delivered"
            assert desk.app.screen is desk.screen


class TestOne:
    async def test_cancel_has_the_focus(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P")
            assert dialog(desk).focused is dialog(desk).query_one("#cancel", Button)

            await desk.press("enter")
            assert isinstance(desk.screen, LanesScreen)
        assert (await operator.audit()).items == []

    @pytest.mark.parametrize("no", ["n", "escape"])
    async def test_no_does_nothing(
        self, console: Open, operator: ScriptedOperator, no: str
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P", no)
            assert isinstance(desk.screen, LanesScreen)
        assert (await operator.audit()).items == []

    async def test_yes_pauses_the_lane_that_was_under_the_cursor_when_asked(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("down", "P")
            assert "Pause sms/normal" in desk.text()
            assert "are queued and wait" in desk.text()
            below = desk.app.screen_stack[0]
            assert isinstance(below, LanesScreen)
            below.list_widget().move_cursor(row=5)  # type: ignore[attr-defined]
            await desk.press("y")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.action, entry.target) == ("lane.paused", "sms.normal")
        assert (entry.who, entry.reason) == ("ann", "none given")

    async def test_a_reason_may_be_given(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P")
            field(desk, "reason").focus()
            await desk.press(*"yes", "enter", "enter")
            await settle(desk)

        assert [e.reason for e in (await operator.audit()).items] == ["yes"]

    async def test_a_key_held_down_asks_once(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P", "n", "P")
            assert isinstance(desk.screen, LanesScreen)

            await desk.wait(0.5)
            await desk.press("P")
            assert isinstance(desk.app.screen, ConfirmScreen)

    async def test_a_paused_lane_is_resumed_by_the_same_key(
        self, console: Open, operator: ScriptedOperator
    ):
        pause = Pause(by="bob", at=moment(NOON - 240), reason="they asked")
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.tell(ControlHeard(key="pause.sms.high", control=pause))
            assert "sms.high paused by bob 4m ago" in desk.text()

            await desk.press("P", "y")
            await settle(desk)
            await desk.tell(ControlHeard(key="pause.sms.high", control=None))
            assert "paused by bob" not in desk.text()

        assert [e.action for e in (await operator.audit()).items] == ["lane.resumed"]

    async def test_a_queued_notification_is_cancelled_from_the_feed(
        self, console: Open, operator: ScriptedOperator
    ):
        queued = changed(NOON, 1, status=Status.QUEUED)
        id_ = queued.change.notification_id
        operator.add(notification(id=id_), queued_trace())
        told = [(NOON, CONNECTED), (NOON, queued)]
        async with console(operator=operator, rights=ARMED, told=told) as desk:
            await desk.press("4", "X", "y")
            await settle(desk)

        assert (await operator.notification(id_)).status is Status.CANCELLED

    async def test_down_goes_to_the_question_however_many_buttons_there_are(
        self, console: Open, operator: ScriptedOperator
    ):
        """What is typed next must not fall on a button, where n says no and y says yes."""
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P")
            await settle(desk)
            assert dialog(desk).query("#wider")
            await desk.press("down", "n", "o")
            assert field(desk, "reason").value == "no"


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


class TestLog:
    async def test_a_change_is_pending_until_the_mesh_says_it_is_done(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.press("P", "y")
            await settle(desk)
            desk.app.acting.remember = _nothing  # type: ignore[method-assign]
            await desk.wait(4)
            await desk.press("a")
            assert isinstance(desk.app.screen, ActionsScreen)
            assert "pending 4s" in desk.text()
            assert "lane.paused" in desk.text()
            assert "sms.high" in desk.text()

            await announce(desk, operator)
            assert "done" in desk.text()
            assert "pending" not in desk.text()
            await desk.press("a")
            assert isinstance(desk.screen, LanesScreen)

    async def test_what_others_did_is_in_the_log_and_the_feed(
        self, console: Open, operator: ScriptedOperator
    ):
        bob = ScriptedOperator("bob", clock=lambda: moment(NOON))
        await bob.pause(SMS_HIGH, "they asked")
        async with console(operator=operator) as desk:
            await announce(desk, bob)
            assert "operator.lane.paused" in desk.text()

            await desk.press("4")
            assert "operator.lane.paused" in desk.text()
            assert "bob: they asked" in desk.text()
            await desk.press("a")
            assert "because   they asked" in desk.text()
            assert "by        bob" in desk.text()

    async def test_what_was_done_before_comes_from_the_audit(
        self, console: Open, operator: ScriptedOperator
    ):
        entry = await operator.pause(SMS_HIGH, "they asked")
        async with console(operator=operator) as desk:
            await desk.press("a")
            await settle(desk)
            assert str(entry.id) in desk.text()

            await desk.press("escape")
            assert isinstance(desk.screen, LanesScreen)

    async def test_a_refusal_and_a_lost_answer_are_told_apart(
        self, console: Open, operator: ScriptedOperator
    ):
        told = [(NOON, CONNECTED), (NOON, changed(NOON, 1, status=Status.QUEUED))]
        async with console(operator=operator, rights=ARMED, told=told) as desk:
            await desk.press("4", "X", "y")
            await settle(desk)
            await desk.wait(1)
            await desk.press("X")
            operator.away = True
            await desk.press("y")
            await settle(desk)
            states = [a.state for a in desk.app.model.actions.views()]

            assert states == ["failed", "unknown"]


async def _nothing() -> None:
    return


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
