import json

import pytest
from textual.widgets import Input

from console.acting import Rights
from console.events import BreakerHeard
from console.operator.scripted import ScriptedOperator
from console.screens.confirm import ConfirmScreen
from console.screens.job import JobScreen
from console.screens.provider import ProviderScreen
from console.screens.providers import ProvidersScreen
from console.screens.schedule import ScheduleScreen
from console.widgets.chart import StackedChart
from contracts.breakers import BreakerCondition
from tests.integration.console.conftest import SMALL, Desk, Open
from tests.unit.console.world import (
    CONNECTED,
    LOST,
    NOON,
    backlog,
    breaker,
    job,
    moment,
    provider,
    reported,
)


def row(desk: Desk, starts: str) -> str:
    return next(line for line in desk.lines() if line.startswith(f" {starts} "))


class TestProviders:
    async def test_a_breaker_is_a_word_a_sign_and_a_colour(self, console: Open):
        async with console() as desk:
            await desk.press("5")

            assert "✕ open" in row(desk, "fcm")
            assert "● closed" in row(desk, "acme")
            opened, closed = desk.cell(3, "breaker"), desk.cell(0, "breaker")
            assert opened.style != closed.style

    async def test_an_open_breaker_counts_down_to_its_probe(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            before = desk.cell(3, "probe").plain.strip()
            await desk.wait(2)

            assert int(before.rstrip("s")) > int(
                desk.cell(3, "probe").plain.strip().rstrip("s")
            )

    async def test_a_change_of_a_breaker_shows_before_any_report(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            agreed = breaker(desk.clock.now, BreakerCondition.OPEN, wait_seconds=5.0)
            await desk.tell(BreakerHeard(provider="acme", state=agreed, revision=40))

            assert "✕ open" in row(desk, "acme")

    async def test_the_charts_are_of_the_provider_under_the_cursor(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            chart = desk.screen.query_one("#provider-latency", StackedChart)
            assert chart.border_subtitle == "acme"

            await desk.press("down")
            assert chart.border_subtitle == "backup"

    async def test_only_those_in_trouble(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            await desk.press("z")

            assert desk.table.row_count == 1
            assert desk.table.cursor_key == "fcm"

    async def test_a_filter_knows_breakers_and_channels(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            await desk.filter("breaker:open channel:push")
            assert desk.table.cursor_key == "fcm"

            await desk.filter("breaker:half")
            assert "No providers match 'breaker:half'; esc shows all." in desk.text()

    async def test_enter_opens_a_provider_and_escape_leaves_it(self, console: Open):
        async with console(size=SMALL) as desk:
            await desk.press("5")
            await desk.press("down", "enter")
            assert isinstance(desk.screen, ProviderScreen)
            assert "providers › backup" in desk.text()  # noqa: RUF001
            assert "mesh-7c2-305" in desk.text()

            await desk.press("y")
            assert json.loads(desk.app.clipboard)["name"] == "backup"

            await desk.press("escape")
            assert isinstance(desk.screen, ProvidersScreen)
            assert desk.table.cursor_key == "backup"

    async def test_one_that_leaves_its_routes_while_open_is_shown_as_it_was(
        self, console: Open
    ):
        async with console() as desk:
            await desk.press("5")
            await desk.press("enter")
            await desk.tell(
                reported(
                    desk.clock.now, instance="mesh-7c2-305", providers=[provider("new")]
                )
            )

            assert "no dispatcher names it any more" in desk.text()
            assert "of 50" in desk.text()

    async def test_a_lane_shows_how_many_of_its_breakers_are_shut(self, console: Open):
        async with console() as desk:
            assert "✕ 1/2 shut" in desk.cell(6, "breaker").plain
            assert "● closed" in desk.cell(0, "breaker").plain

    async def test_nobody_has_spoken_of_any(self, console: Open):
        async with console(told=[(NOON, CONNECTED), (NOON, backlog())]) as desk:
            await desk.press("5")

            assert "No provider has been heard of yet." in desk.text()

    async def test_before_the_first_news_it_listens_or_says_why_not(
        self, console: Open
    ):
        async with console(told=[(NOON, CONNECTED)]) as desk:
            await desk.press("5")
            assert "Listening for the first news." in desk.text()

            await desk.tell(LOST)
            assert "No news yet: connection refused. r tries again now." in desk.text()

    async def test_old_news_is_dimmed_and_kept(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            fresh = desk.cell(0, "breaker").style
            await desk.tell(LOST)
            await desk.wait(30)

            assert "STALE 30s" in desk.lines()[1]
            assert desk.cell(0, "breaker").style != fresh
            assert desk.table.row_count == 5

    async def test_the_cursor_stays_on_its_provider_when_sorted(self, console: Open):
        async with console() as desk:
            await desk.press("5")
            await desk.press("down", "down")
            assert desk.table.cursor_key == "smtp"
            for _ in range(4):
                await desk.press("s")
                assert desk.table.cursor_key == "smtp"
            await desk.press("o", "c")

            assert desk.app.clipboard == "smtp"


class TestOrders:
    @pytest.fixture
    def operator(self) -> ScriptedOperator:
        operator = ScriptedOperator("ann", clock=lambda: moment(NOON))
        operator.carry("acme", "fcm")
        return operator

    async def answer(self, desk: Desk, **values: str) -> None:
        await desk.app.workers.wait_for_complete()
        dialog = desk.app.screen
        assert isinstance(dialog, ConfirmScreen)
        for name, value in values.items():
            dialog.query_one(f"#field-{name}", Input).value = value
        await desk.pilot.pause()
        dialog.action_yes()
        await desk.app.workers.wait_for_complete()
        await desk.paint()

    async def test_one_that_is_sent_to_is_held_open(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=Rights(armed=True)) as desk:
            await desk.press("5")
            await desk.press("B")
            await self.answer(desk, reason="they asked us to", typed="acme")

            [entry] = (await operator.audit()).items
            assert (entry.target, entry.details) == ("acme", {"order": "open"})
            assert entry.reason == "they asked us to"

    async def test_what_is_not_known_of_one_is_left_out_of_the_question(
        self, console: Open, operator: ScriptedOperator
    ):
        told = [(NOON, CONNECTED), (NOON, reported(NOON, providers=[provider()]))]
        armed = Rights(armed=True)
        async with console(operator=operator, rights=armed, told=told) as desk:
            await desk.press("5")
            await desk.press("B")
            await desk.app.workers.wait_for_complete()
            await desk.pilot.pause()
            assert "breaker closed, nothing sent in the last minute " in desk.text()

    async def test_one_that_is_open_is_probed_or_else_reset(
        self, console: Open, operator: ScriptedOperator
    ):
        async with console(operator=operator, rights=Rights(armed=True)) as desk:
            await desk.press("5")
            await desk.press("z", "enter")
            await desk.press("B")
            await desk.pilot.pause()
            assert "Probe fcm now" in desk.text()
            await desk.press("c")
            assert "Reset fcm" in desk.text()
            await self.answer(desk, reason="they are back", typed="fcm")

            [entry] = (await operator.audit()).items
            assert (entry.target, entry.details) == ("fcm", {"order": "reset"})

    async def test_read_only_greys_it(self, console: Open, operator: ScriptedOperator):
        async with console(operator=operator) as desk:
            await desk.press("5")
            await desk.press("B")

            assert isinstance(desk.screen, ProvidersScreen)
            assert not desk.screen.active_bindings["B"].enabled


class TestSchedule:
    async def test_jobs_say_their_period_in_words_and_their_last_runs(
        self, console: Open
    ):
        async with console() as desk:
            await desk.press("7")
            retention = row(desk, "retention")

            assert "✕ failed" in retention
            assert "10 minutes" in retention
            assert "...!..+............!" in retention
            assert "mesh-7c2-310" in retention

    async def test_below_them_is_what_runs_repaired(self, console: Open):
        async with console() as desk:
            await desk.press("7")
            text = desk.text()

            assert "12 lease_ended, 3 message_lost" in text
            assert "the ledger did not answer in time" in text

    async def test_tab_goes_to_the_runs_and_keys_work_there(self, console: Open):
        async with console() as desk:
            await desk.press("7")
            assert isinstance(desk.screen, ScheduleScreen)
            jobs = desk.screen.table
            await desk.press("tab")
            assert desk.screen.table is not jobs

            await desk.press("s")
            assert desk.screen.table.sorted_by == "began"
            assert jobs.sorted_by is None

    async def test_a_filter_is_of_both(self, console: Open):
        async with console() as desk:
            await desk.press("7")
            await desk.filter("job:reconcile")

            assert "release" not in desk.text()
            assert "12 lease_ended, 3 message_lost" in desk.text()

            await desk.filter("job:nonsense")
            assert "No jobs match 'job:nonsense'; esc shows all." in desk.text()

    async def test_enter_says_what_a_job_repaired(self, console: Open):
        async with console() as desk:
            await desk.press("7")
            await desk.filter("reconcile")
            await desk.press("enter")
            assert isinstance(desk.screen, JobScreen)
            assert "every 30 s   held by mesh-7c2-310" in desk.text()
            assert "12  lease_ended" in desk.text()

            await desk.press("escape")
            assert isinstance(desk.screen, ScheduleScreen)

    async def test_enter_on_a_run_opens_its_job_at_that_run(self, console: Open):
        runs = [
            (
                NOON - 40 + second,
                reported(
                    NOON - 40 + second,
                    service="scheduler",
                    jobs=[
                        job(
                            started_at=NOON - 40 + second,
                            outcome="finished",
                            repaired=second,
                            why={"message_lost": second},
                        )
                    ],
                ),
            )
            for second in (10, 20, 30)
        ]
        async with console(told=[(NOON - 60, CONNECTED), *runs]) as desk:
            await desk.press("7")
            await desk.press("tab", "down", "enter")

            assert isinstance(desk.screen, JobScreen)
            run = desk.screen.current()
            assert run is not None
            assert run.repaired == 20
            assert "20  message_lost" in desk.text()

    async def test_a_scheduler_that_is_gone_leaves_its_jobs_unheld(self, console: Open):
        async with console() as desk:
            await desk.press("7")
            desk.clock.now = NOON + 6
            await desk.tell(backlog())

            assert "✕ unheld" in row(desk, "reconcile")

    async def test_nobody_has_spoken_of_any(self, console: Open):
        async with console(told=[(NOON, CONNECTED), (NOON, backlog())]) as desk:
            await desk.press("7")

            assert "No job has been heard of yet." in desk.text()
            assert "No run has repaired anything" in desk.text()


class TestServices:
    async def test_one_configured_otherwise_is_marked_whatever_the_width(
        self, console: Open
    ):
        async with console(size=SMALL) as desk:
            for instance, hash_, started in (
                ("mesh-7c2-305", "aaaaaaaa", NOON - 60),
                ("mesh-7c2-306", "bbbbbbbb", NOON - 30),
            ):
                await desk.tell(
                    reported(
                        desk.clock.now,
                        instance=instance,
                        settings_hash=hash_,
                        started_at=started,
                    )
                )
            await desk.press("6", "down")

            assert "▲ mesh-7c2-305" in desk.text()
            assert "▲ mesh-7c2-306" not in desk.text()
            assert "settings aaaaaaaa not those of the newest" in desk.text()

            await desk.press("z")
            assert desk.table.row_count == 1

    async def test_one_that_is_too_busy_says_how_late_it_came(self, console: Open):
        async with console() as desk:
            await desk.tell(
                reported(desk.clock.now, instance="mesh-7c2-305", lag_seconds=1.25)
            )
            await desk.press("6")

            assert "1.2s" in row(desk, "dispatcher")
