"""Drills whose fault is a process that is gone and comes back."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.drills.drill import PATIENCE_SECONDS, Drill, drilling
from tests.acceptance.mesh import Mesh, frozen
from tests.waiting import until

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

Record = Callable[[str, object], None]


async def test_jobs_without_a_scheduler_are_seen_and_run_again_when_one_is_back(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=8, fault="scheduler gone"
    ) as drill:
        await drill.press("7")
        await drill.shown("release")
        async with shared.down(shared.child("scheduler-1")):
            by = "every screen: `scheduler late`, then `1 lost` and its jobs `unheld`"
            await drill.seen("scheduler", " late", effect_at=time.time(), by=by)
            await drill.shown("release", "unheld")
            assert "1 lost" in drill.lines[0]
            soon = datetime.now(UTC) + timedelta(seconds=1)
            waiting = await shared.create(scheduled_at=soon.isoformat())

        await drill.gone("unheld")
        await shared.status_is(waiting, "delivered", within=PATIENCE_SECONDS)
        await drill.shown("release", "ran")


async def test_a_bus_that_was_away_leaves_old_numbers_dimmed_and_is_told_of_once(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=9, fault="NATS gone and back"
    ) as drill:
        await until(lambda: len(backlog(drill)) == 3, PATIENCE_SECONDS)
        inks, numbers = drill.inks_of("sms", "high"), backlog(drill)
        async with shared.down(shared.child("nats")):
            by = "banner: no connection, then `STALE` over dimmed numbers"
            await drill.seen("No connection", effect_at=time.time(), by=by)
            waiting = await shared.create()
            await drill.shown("STALE")
            assert drill.inks_of("sms", "high") != inks
            assert backlog(drill) == numbers
            assert "NATS down" in drill.lines[0]

        await drill.shown("back after")
        assert await until(lambda: told_of_return(drill), PATIENCE_SECONDS) == 1
        await drill.gone("STALE")
        assert told_of_return(drill) <= 1  # a notice goes by itself
        await until(lambda: drill.inks_of("sms", "high") == inks, PATIENCE_SECONDS)
        await shared.status_is(waiting, "delivered", within=PATIENCE_SECONDS)


def told_of_return(drill: Drill) -> int:
    """Return how many notices stand that say that the connection is back."""
    notices = [str(notice.message) for notice in drill.app._notifications]
    return sum(words.startswith("back after") for words in notices)


async def test_without_a_gateway_changes_are_greyed_and_say_why_until_it_is_back(
    shared: Mesh, record_property: Record
) -> None:
    async with drilling(
        shared, record_property, number=10, fault="gateway gone"
    ) as drill:
        by = "every screen: `GW down`, and changes greyed"
        async with shared.down(shared.child("gateway-1")):
            await drill.seen("GW down", effect_at=time.time(), by=by)
            await drill.press("P")
            assert not drill.row("Pause sms/high")
            await drill.press("question_mark")
            await drill.shown("not now: no gateway: ")
            await drill.press("escape")
        await drill.shown("GW ok")

        async with frozen(shared.child("gateway-1")):
            await drill.seen("GW down", effect_at=time.time(), by=by)
        await drill.shown("GW ok")

        await drill.press("P")
        await drill.shown("Pause sms/high")
        await drill.press("n")
        await shared.status_is(
            await shared.create(), "delivered", within=PATIENCE_SECONDS
        )


def backlog(drill: Drill) -> list[str]:
    """Return what the row of a lane says is queued, not settled, and in flight."""
    return [word for word in drill.row("sms", "high").split() if word.isdigit()]
