"""How every screen looks, cell by cell.

``make test ARGS="--accept-snapshots tests/integration/console/test_snapshots.py"`` makes what
is shown now the golden files.
"""

import contextlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from textual.widgets import Input

from console.events import ControlHeard
from console.operator import LaneTarget, LimitTarget
from console.operator.scripted import ScriptedOperator
from console.place import Place
from contracts.channels import Channel, Priority
from contracts.controls import Pause, RateLimit
from tests.integration.console import snapshot
from tests.integration.console.conftest import LARGE, SMALL, Desk, Open
from tests.integration.console.dialogs import ARMED, settle
from tests.integration.console.test_trace import RETRIED, delivered, look_up
from tests.unit.console.people import letter, notification, queued_trace
from tests.unit.console.world import (
    CONNECTED,
    LOST,
    NOON,
    backlog,
    changed,
    moment,
    notification_id,
    reported,
)
from tests.waiting import until

LIGHT = "tocsin-light"
Check = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    """Compare what is shown with the golden file of the test."""
    name = file_of(request.node.name)

    async def compare(desk: Desk) -> None:
        for field in desk.app.screen.query(Input):
            field.cursor_blink = False
        await settle(desk)
        if request.config.getoption("--accept-snapshots"):
            snapshot.accept(name, await at_rest(desk))
        with contextlib.suppress(AssertionError):
            await until(lambda: not snapshot.difference(name, shown(desk)))
        if changes := snapshot.difference(name, shown(desk)):
            pytest.fail(f"{name} looks different:\n{changes}", pytrace=False)

    return compare


def shown(desk: Desk) -> str:
    return snapshot.describe(desk.app.screen._compositor.render_strips())


async def at_rest(desk: Desk) -> str:
    """Return what is shown once it stays the same for a while."""
    before, seen = "", shown(desk)
    while seen != before:
        await desk.pilot.pause(0.3)
        before, seen = seen, shown(desk)
    return seen


def file_of(test: str) -> str:
    """Return the golden file of a test: ``test_lanes[80x24]`` has ``lanes-80x24``."""
    return test.removeprefix("test_").replace("[", "-").rstrip("]").replace("_", "-")


@pytest.fixture
def operator() -> ScriptedOperator:
    """Knows three notifications, dead letters of three causes, and what was done today."""
    numbers = count(900)
    operator = ScriptedOperator(
        "ann",
        clock=lambda: moment(NOON - 240),
        ids=lambda: notification_id(next(numbers)),
    )
    operator.add(delivered(), RETRIED)
    for number in (8, 9):
        operator.add(notification(id=notification_id(number)), queued_trace())
    dead = count(100)
    for channel, class_, reason, letters, apart in (
        ("sms", "permanent", "21614 not a mobile number", 97, 60),
        ("email", "transient", "421 try again later", 12, 340),
        ("push", "expired", "too old to be sent", 3, 900),
    ):
        operator.bury(
            *(
                letter(
                    id=notification_id(next(dead)),
                    notification_id=notification_id(next(dead)),
                    channel=channel,
                    class_=class_,
                    reason=reason,
                    attempts=1 if class_ == "permanent" else 5,
                    failed_at=moment(NOON - 7 - apart * number),
                )
                for number in range(letters)
            )
        )
    operator.carry("acme", "backup", "smtp", "fcm", "webhook")
    return operator


@pytest.fixture
def desk_at(console: Open, operator: ScriptedOperator) -> Open:
    """Opens a console on the busy mesh."""

    def open_desk(size: tuple[int, int], **options):
        return console(size=size, **{"operator": operator} | options)

    return open_desk


both = pytest.mark.parametrize("size", [LARGE, SMALL], ids=["120x36", "80x24"])
large = pytest.mark.parametrize("size", [LARGE], ids=["120x36"])
small = pytest.mark.parametrize("size", [SMALL], ids=["80x24"])


@both
async def test_lanes(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await check(desk)


@both
async def test_lanes_light(desk_at: Open, check: Check, size):
    async with desk_at(size, theme=LIGHT) as desk:
        await check(desk)


@small
async def test_lanes_filtered(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.filter("channel:sms")
        await check(desk)


@small
async def test_lanes_none_match(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.filter("carrier")
        await check(desk)


@both
async def test_lanes_empty(desk_at: Open, check: Check, size):
    told = [(NOON, CONNECTED), (NOON, backlog())]
    async with desk_at(size, told=told) as desk:
        await check(desk)


@both
async def test_lanes_stale(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.tell(LOST)
        await desk.wait(12)
        await check(desk)


@small
async def test_lanes_failed(desk_at: Open, check: Check, size):
    """Nothing was ever heard."""
    async with desk_at(size, told=[(NOON, LOST)]) as desk:
        await check(desk)


@both
async def test_lanes_ordered(desk_at: Open, check: Check, size):
    """Armed, in production, with orders in force."""
    place = Place(name="eu-production")
    async with desk_at(size, rights=ARMED, place=place) as desk:
        at = moment(NOON - 240)
        pause = Pause(by="ann", at=at, reason="they asked")
        slip = RateLimit(by="bob", at=at, per_second=4, reason="a slip")
        await desk.tell(
            ControlHeard(key="pause.email.low", control=pause),
            ControlHeard(key="rate.channel.sms", control=slip),
        )
        await check(desk)


@large
async def test_lanes_ascii(desk_at: Open, check: Check, size):
    async with desk_at(size, ascii_only=True) as desk:
        await check(desk)


@large
async def test_lanes_without_colours(
    desk_at: Open, check: Check, size, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_COLOR", "1")
    async with desk_at(size) as desk:
        await check(desk)


@both
async def test_lane(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("down", "enter")
        await check(desk)


@both
async def test_dlq(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("2")
        await settle(desk)
        await desk.press("down", "enter")
        await settle(desk)
        await desk.press("down", "space")
        await check(desk)


@large
async def test_dlq_light(desk_at: Open, check: Check, size):
    async with desk_at(size, theme=LIGHT) as desk:
        await desk.press("2")
        await check(desk)


@small
async def test_dlq_empty(desk_at: Open, check: Check, size):
    nobody = ScriptedOperator("ann", clock=lambda: moment(NOON))
    async with desk_at(size, operator=nobody) as desk:
        await desk.press("2")
        await check(desk)


@small
async def test_dlq_none_match(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("2")
        await settle(desk)
        await desk.filter("class:permanent age:>7d")
        await check(desk)


@small
async def test_dlq_failed(desk_at: Open, check: Check, size, operator):
    operator.away = True
    async with desk_at(size) as desk:
        await desk.press("2")
        await check(desk)


@small
async def test_dlq_stale(desk_at: Open, check: Check, size, operator):
    async with desk_at(size) as desk:
        await desk.press("2")
        await settle(desk)
        operator.away = True
        await until(lambda: desk.app.acting.trouble)
        await desk.press("r")
        desk.app.clear_notifications()
        await check(desk)


@both
async def test_trace(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await look_up(desk, "order-8841")
        await check(desk)


@small
async def test_trace_of_several(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await look_up(desk, "+15555550100")
        await check(desk)


@small
async def test_trace_none_found(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await look_up(desk, "order-none")
        await check(desk)


@small
async def test_trace_failed(desk_at: Open, check: Check, size, operator):
    operator.away = True
    async with desk_at(size) as desk:
        await look_up(desk, "order-8841")
        await check(desk)


@both
async def test_feed(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("4", "up", "up")
        await desk.tell(*(changed(NOON, n) for n in range(3)))
        await check(desk)


@small
async def test_feed_filtered(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("4")
        await desk.filter("class:perm")
        await check(desk)


@small
async def test_feed_empty(desk_at: Open, check: Check, size):
    async with desk_at(size, told=[(NOON, CONNECTED), (NOON, backlog())]) as desk:
        await desk.press("4")
        await check(desk)


@both
async def test_providers(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("5")
        await check(desk)


@small
async def test_providers_in_trouble(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("5", "z")
        await check(desk)


@small
async def test_providers_empty(desk_at: Open, check: Check, size):
    async with desk_at(size, told=[(NOON, CONNECTED), (NOON, backlog())]) as desk:
        await desk.press("5")
        await check(desk)


@large
async def test_providers_stale(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("5")
        await desk.tell(LOST)
        await desk.wait(12)
        await check(desk)


@both
async def test_provider(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("5", "enter")
        await check(desk)


@both
async def test_services(desk_at: Open, check: Check, size):
    """One process is lost, and one was left behind by an update."""
    services: dict[str, dict[str, Any]] = {
        "mesh-7c2-301": {"service": "gateway", "version": "0.2.0"},
        "mesh-7c2-305": {"version": "0.2.0"},
        "mesh-9d1-88": {"started_at": NOON - 90_000},
    }
    async with desk_at(size) as desk:
        for second in range(1, 6):
            desk.clock.now = NOON + second + 0.4
            await desk.tell(
                backlog(),
                *(
                    reported(NOON + second, instance=instance, **of)
                    for instance, of in services.items()
                ),
            )
        await desk.press("6")
        await check(desk)


@small
async def test_services_failed(desk_at: Open, check: Check, size):
    async with desk_at(size, told=[(NOON, LOST)]) as desk:
        await desk.press("6")
        await check(desk)


@both
async def test_schedule(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("7")
        await check(desk)


@small
async def test_schedule_empty(desk_at: Open, check: Check, size):
    async with desk_at(size, told=[(NOON, CONNECTED), (NOON, backlog())]) as desk:
        await desk.press("7")
        await check(desk)


@small
async def test_job(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("7")
        await desk.filter("reconcile")
        await desk.press("enter")
        await check(desk)


@both
async def test_help(desk_at: Open, check: Check, size):
    async with desk_at(size) as desk:
        await desk.press("question_mark")
        await check(desk)


@both
async def test_actions(desk_at: Open, check: Check, size, operator):
    await operator.set_limit(LimitTarget("channel", Channel.SMS), 4, "a slip")
    await operator.pause(LaneTarget(Channel.EMAIL, Priority.LOW), "they asked")
    async with desk_at(size) as desk:
        await desk.press("a")
        await check(desk)


@both
async def test_confirm_one(desk_at: Open, check: Check, size):
    async with desk_at(size, rights=ARMED) as desk:
        await desk.press("P")
        await check(desk)


@both
async def test_confirm_many(desk_at: Open, check: Check, size):
    async with desk_at(size, rights=ARMED) as desk:
        await desk.press("2")
        await settle(desk)
        await desk.press("R")
        await check(desk)


@both
async def test_confirm_discard(desk_at: Open, check: Check, size):
    async with desk_at(size, rights=ARMED) as desk:
        await desk.press("2")
        await settle(desk)
        await desk.press("D")
        await check(desk)


@small
async def test_confirm_light(desk_at: Open, check: Check, size):
    async with desk_at(size, rights=ARMED, theme=LIGHT) as desk:
        await desk.press("L")
        await check(desk)


def test_every_golden_file_is_of_a_test_and_they_stay_few():
    tests = {name for name in globals() if name.startswith("test_")}
    files = [path.stem for path in snapshot.GOLDEN.iterdir()]

    assert {name.rpartition("-")[0] for name in files} == {
        file_of(t) for t in tests
    } - {"every-golden-file-is-of-a-test-and-they-stay-few"}
    assert len(files) <= 60
