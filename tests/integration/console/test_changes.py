"""Changing the system from the console: what is asked, what is refused, what is on record."""

import re

import pytest
from textual.widgets import Button

from console.acting import Rights
from console.changes import NO_REASON
from console.events import ControlHeard
from console.keys import KEYS
from console.operator.scripted import ScriptedOperator
from console.screens.actions import ActionsScreen
from console.screens.confirm import ConfirmScreen
from console.screens.lanes import LanesScreen
from contracts.controls import Pause
from contracts.lifecycle import Status
from tests.integration.console.conftest import Open
from tests.integration.console.dialogs import (
    ARMED,
    SMS_HIGH,
    announce,
    dialog,
    field,
    footer_greys,
    settle,
)
from tests.unit.console.people import notification, queued_trace
from tests.unit.console.world import CONNECTED, LOST, NOON, changed, moment
from tests.waiting import until


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
            assert "are queued." in desk.text()
            below = desk.app.screen_stack[0]
            assert isinstance(below, LanesScreen)
            below.list_widget().move_cursor(row=5)  # type: ignore[attr-defined]
            await desk.press("y")
            await settle(desk)

        [entry] = (await operator.audit()).items
        assert (entry.action, entry.target) == ("lane.paused", "sms.normal")
        assert (entry.who, entry.reason) == ("ann", NO_REASON)

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
            assert 'sms.high paused by bob 4m ago: "they asked"' in desk.text()

            await desk.press("P")
            assert re.search(
                r"Sending from sms/high goes on; \d+ are queued\.", desk.text()
            )
            await desk.press("y")
            await settle(desk)
            await desk.tell(ControlHeard(key="pause.sms.high", control=None))
            assert "paused by bob" not in desk.text()

        assert [e.action for e in (await operator.audit()).items] == ["lane.resumed"]

    async def test_a_pause_that_nobody_gave_a_reason_for_quotes_none(
        self, console: Open, operator: ScriptedOperator
    ):
        pause = Pause(by="bob", at=moment(NOON - 240), reason=NO_REASON)
        async with console(operator=operator, rights=ARMED) as desk:
            await desk.tell(ControlHeard(key="pause.sms.high", control=pause))
            assert "sms.high paused by bob 4m ago" in desk.text()
            assert NO_REASON not in desk.text()

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
