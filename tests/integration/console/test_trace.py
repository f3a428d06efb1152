"""Looking one notification up, and reading what happened to it."""

import json
from uuid import UUID

import pytest
import yaml
from textual.widget import Widget
from textual.widgets import Footer, Input

from console.events import ControlHeard
from console.operator import Found
from console.operator.scripted import ScriptedOperator
from console.screens.feed import FeedScreen
from console.screens.lanes import LanesScreen
from console.screens.trace import TraceScreen
from console.widgets.keyed_table import KeyedTable
from contracts.controls import Pause
from contracts.lifecycle import Status
from ops.client import TraceEntry
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.integration.console.dialogs import ARMED, settle
from tests.unit.console.people import notification, queued_trace
from tests.unit.console.world import (
    CONNECTED,
    NOON,
    changed,
    moment,
    notification_id,
)
from tests.waiting import until

ORDER = "order-8841"


def entry(event: str, at: float, **details: object) -> TraceEntry:
    return TraceEntry(event=event, created_at=moment(at), details=details or None)


RETRIED = [
    entry("created", NOON - 70),
    entry("queued", NOON - 69.989),
    entry("processing", NOON - 69.116, attempt=1, dispatcher="mesh-305"),
    entry(
        "retrying",
        NOON - 68.93,
        attempt=1,
        provider="acme",
        outcome="throttled",
        code="421",
        words="try later",
        duration_ms=184,
    ),
    entry("processing", NOON - 3.7, attempt=2, dispatcher="mesh-305"),
    entry("delivered", NOON - 3.6, attempt=2, provider="acme", outcome="delivered"),
]


def delivered(**changes: object) -> Found:
    values: dict[str, object] = {
        "id": notification_id(7),
        "status": Status.DELIVERED,
        "attempts": 2,
        "idempotency_key": ORDER,
        "provider": "acme",
        "created_at": moment(NOON - 70),
        "updated_at": moment(NOON - 3.6),
        **changes,
    }
    return notification(**values)


@pytest.fixture
def operator() -> ScriptedOperator:
    """Knows one notification that was delivered, and one to the same person that waits."""
    operator = ScriptedOperator("ann", clock=lambda: moment(NOON))
    operator.add(delivered(), RETRIED)
    operator.add(notification(id=notification_id(8)), queued_trace())
    return operator


async def look_up(desk: Desk, text: str) -> None:
    await desk.press("g")
    await settle(desk)
    desk.app.screen.query_one("#seek-input", Input).value = text
    await desk.press("enter")
    await settle(desk)


def shown(desk: Desk) -> UUID | None:
    assert isinstance(desk.screen, TraceScreen)
    return desk.screen._subject


class TestLookUp:
    @pytest.mark.parametrize("text", [str(notification_id(7)), ORDER, f"key:{ORDER}"])
    async def test_one_is_found_from_anywhere_by_id_or_key(
        self, console: Open, operator: ScriptedOperator, text: str
    ):
        async with console(operator=operator) as desk:
            await desk.press("6")
            await look_up(desk, text)

            assert shown(desk) == notification_id(7)
            assert "DELIVERED in 1 m 06 s, 2 attempts" in desk.text()
            assert ORDER in desk.text()

    async def test_a_recipient_finds_several_to_choose_one_from(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, "+15555550100")
            assert "2 with recipient hash" in desk.text()
            assert shown(desk) is None

            await desk.press("down", "enter")
            await settle(desk)
            assert shown(desk) == notification_id(7)

            await desk.press("escape")
            assert shown(desk) is None
            assert "recipient hash" in desk.text()

    async def test_what_is_not_there_is_said(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, "nobody's")

            words = "There is no notification with idempotency key nobody's."
            assert words in desk.text()

    async def test_enter_in_the_feed_opens_it_and_escape_goes_back(
        self, console: Open, operator: ScriptedOperator
    ):
        told = [(NOON, CONNECTED), (NOON, changed(NOON, 7))]
        async with console(operator=operator, told=told) as desk:
            await desk.press("4", "enter")
            await settle(desk)
            assert shown(desk) == notification_id(7)

            await desk.press("escape")
            assert isinstance(desk.screen, FeedScreen)

    async def test_back_and_forward_among_those_looked_at(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            for number in (7, 8):
                await look_up(desk, str(notification_id(number)))
            seen = []
            for key in ("left_square_bracket", "right_square_bracket"):
                await desk.press(key)
                await settle(desk)
                seen.append(shown(desk))
                await desk.press(key)  # there is nothing further: greyed, does nothing
                await settle(desk)
                seen.append(shown(desk))

        first, second = notification_id(7), notification_id(8)
        assert seen == [first, first, second, second]


class TestTimeline:
    async def test_waits_between_the_steps_are_seen(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, ORDER)
            row = next(line for line in desk.lines() if "waited to try again" in line)

            assert "+1 m 05 s" in row
            assert "███" in row

    async def test_the_step_under_the_cursor_says_all_that_is_known(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, ORDER)
            await desk.press("up", "up")
            assert "421" in desk.text()
            assert "duration_ms" in desk.text()

    async def test_what_still_waits_says_for_what(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, str(notification_id(8)))

            assert "waiting for a dispatcher" in desk.text()

    async def test_orders_that_hold_up_what_is_shown_stand_above_its_steps(
        self, console: Open, operator: ScriptedOperator
    ):
        pause = Pause(by="bob", at=moment(NOON - 240), reason="they asked")
        elsewhere = Pause(by="bob", at=moment(NOON), reason="a try")
        async with console(size=SMALL, operator=operator) as desk:
            await desk.tell(ControlHeard(key="pause.sms.normal", control=pause))
            await desk.tell(ControlHeard(key="pause.sms.low", control=elsewhere))
            await look_up(desk, str(notification_id(8)))
            lines = desk.lines()
            assert any("sms.normal paused by bob 4m ago" in line for line in lines)
            assert "sms.low" not in desk.text()

            await look_up(desk, ORDER)  # which is over
            assert "paused by bob" not in desk.text()

    async def test_it_is_copied_as_json_and_yaml(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, ORDER)
            await desk.press("y")
            document = json.loads(desk.app.clipboard)
            assert document["notification"]["idempotency_key"] == ORDER
            assert len(document["trace"]["entries"]) == len(RETRIED)

            commands = {c.title: c for c in desk.app.get_system_commands(desk.screen)}
            commands["Export: copy as YAML"].callback()
            assert yaml.safe_load(desk.app.clipboard) == document

            await desk.press("c")
            assert desk.app.clipboard == str(notification_id(7))

    async def test_news_of_it_is_fetched(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await look_up(desk, str(notification_id(8)))
            later = [*queued_trace(), entry("processing", NOON, attempt=1)]
            there = notification(id=notification_id(8), status=Status.PROCESSING)
            operator.add(there, later)
            await desk.tell(changed(NOON, 8, status=Status.PROCESSING, sequence=3))
            await settle(desk)

            assert "PROCESSING" in desk.text()


class TestWithoutGateway:
    async def test_it_says_so_and_shows_what_the_feed_told(
        self, console: Open, operator: ScriptedOperator
    ):
        operator.away = True
        told = [(NOON, CONNECTED), (NOON, changed(NOON, 7))]
        async with console(operator=operator, told=told) as desk:
            await desk.press("4", "enter")
            await settle(desk)

            assert "No gateway answers" in desk.text()
            assert "only what the feed told" in desk.text()
            assert "delivered" in desk.text()

    async def test_it_looks_again_when_the_gateway_is_back(
        self, console: Open, operator: ScriptedOperator, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("console.acting.REACH_SECONDS", 0.05)
        operator.away = True
        async with console(operator=operator) as desk:
            await until(lambda: desk.app.acting.trouble)
            await look_up(desk, ORDER)
            await desk.paint()
            operator.away = False
            await until(lambda: not desk.app.acting.trouble)
            await desk.paint()
            await settle(desk)

            assert shown(desk) == notification_id(7)

    async def test_without_any_it_says_how_to_name_one(self, console: Open):
        async with console() as desk:
            await look_up(desk, ORDER)

            assert "No gateway to ask" in desk.text()


class TestCancel:
    async def test_what_waits_is_called_back(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await look_up(desk, str(notification_id(8)))
            await desk.press("X", "y")
            await settle(desk)

        cancelled = await operator.notification(notification_id(8))
        assert cancelled.status is Status.CANCELLED

    async def test_what_is_over_is_greyed_with_the_reason(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=ARMED) as desk:
            await look_up(desk, ORDER)
            commands = {c.title: c for c in desk.app.get_system_commands(desk.screen)}
            assert commands["Cancel"].help == "not now: already delivered (X)"

            await desk.press("X")
            assert isinstance(desk.app.screen, TraceScreen)


class TestLayout:
    @pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
    async def test_nothing_is_cut_off(
        self, console: Open, operator: ScriptedOperator, size: tuple[int, int]
    ):
        async with console(size=size, operator=operator) as desk:
            for text in (ORDER, "+15555550100", "nobody's"):
                await look_up(desk, text)
                screen = desk.app.screen
                for widget in screen.walk_children(Widget):
                    if widget.is_on_screen and widget.region:
                        assert screen.region.contains_region(widget.region), widget
                for table in screen.query(KeyedTable):
                    if table.display:
                        assert table.virtual_size.width <= table.size.width
                assert screen.query_one(Footer).max_scroll_x == 0

    async def test_ascii_means_ascii(self, console: Open, operator: ScriptedOperator):
        async with console(operator=operator, ascii_only=True) as desk:
            await look_up(desk, ORDER)

            assert {c for c in desk.text() if not c.isascii()} == set()

    async def test_escape_leads_home_when_one_came_from_there(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator) as desk:
            await desk.press("3", "escape")

            assert isinstance(desk.screen, LanesScreen)
