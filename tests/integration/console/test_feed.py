import json

from console.widgets.feed_view import FeedView
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from tests.integration.console.conftest import Desk, Open
from tests.unit.console.world import CONNECTED, NOON, changed


def feed(desk: Desk) -> FeedView:
    return desk.screen.query_one("#feed", FeedView)


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
