from typing import Any

from console.model import Model
from console.model.services import SILENT_SECONDS
from console.model.views import ServiceHealth, ServiceView
from contracts.mesh import ServiceCondition
from tests.unit.console.world import CONNECTED, LOST, NOON, backlog, reported


def watching() -> Model:
    model = Model()
    model.apply(CONNECTED, NOON - 60)
    return model


def rows(model: Model, now: float) -> dict[str, ServiceView]:
    model.tick(now)
    return {row.key: row for row in model.snapshot(now).services}


def let_pass(model: Model, start: float, seconds: int) -> None:
    """Let time pass on a bus that answers."""
    for second in range(1, seconds + 1):
        model.apply(backlog(), start + second)
        model.tick(start + second)


def beat(model: Model, at: float, **changes: Any) -> None:
    model.apply(reported(at, **changes), at)


def test_a_service_is_what_it_says_it_is():
    model = watching()
    beat(model, NOON, condition=ServiceCondition.UNREADY)

    assert rows(model, NOON)["dispatcher/host-1"].health is ServiceHealth.UNREADY


def test_a_silent_service_is_lost_and_keeps_its_row():
    model = watching()
    beat(model, NOON)
    let_pass(model, NOON, 5)

    row = rows(model, NOON + 5)["dispatcher/host-1"]

    assert row.health is ServiceHealth.LOST
    assert row.heard_seconds == 5


def test_two_missed_reports_are_not_a_loss():
    model = watching()
    beat(model, NOON)
    let_pass(model, NOON, int(SILENT_SECONDS))

    row = rows(model, NOON + SILENT_SECONDS)["dispatcher/host-1"]

    assert row.health is ServiceHealth.READY


def test_a_report_that_is_overdue_is_told_before_the_service_is_lost():
    model = watching()
    beat(model, NOON)
    let_pass(model, NOON, 2)

    assert not rows(model, NOON + 1)["dispatcher/host-1"].late
    assert rows(model, NOON + 2)["dispatcher/host-1"].late


def test_nobody_is_late_on_a_bus_that_is_silent_itself():
    model = watching()
    beat(model, NOON)

    assert not rows(model, NOON + 2.5)["dispatcher/host-1"].late


def test_no_service_is_lost_while_the_console_is_cut_off():
    model = watching()
    beat(model, NOON)
    model.apply(LOST, NOON + 1)
    model.tick(NOON + 60)

    assert rows(model, NOON + 60)["dispatcher/host-1"].health is ServiceHealth.UNKNOWN

    model.apply(CONNECTED, NOON + 61)
    model.tick(NOON + 62)
    assert rows(model, NOON + 62)["dispatcher/host-1"].health is ServiceHealth.READY


def test_no_service_is_lost_while_the_bus_itself_is_silent():
    model = watching()
    beat(model, NOON)

    assert rows(model, NOON + 60)["dispatcher/host-1"].health is ServiceHealth.READY


def test_a_goodbye_is_not_a_loss():
    model = watching()
    beat(model, NOON)
    beat(model, NOON + 1, condition=ServiceCondition.DRAINING)
    let_pass(model, NOON + 1, 30)

    assert rows(model, NOON + 31)["dispatcher/host-1"].health is ServiceHealth.STOPPED


def test_a_lost_service_that_speaks_again_is_back():
    model = watching()
    beat(model, NOON)
    let_pass(model, NOON, 10)
    beat(model, NOON + 11)

    assert rows(model, NOON + 11)["dispatcher/host-1"].health is ServiceHealth.READY
    assert [line.what for line in model.snapshot(NOON + 11).feed] == [
        "ready",
        "lost",
        "ready",
    ]


def test_an_older_report_does_not_undo_a_newer_one():
    model = watching()
    beat(model, NOON, condition=ServiceCondition.DRAINING)
    beat(model, NOON - 1)

    assert rows(model, NOON)["dispatcher/host-1"].health is ServiceHealth.DRAINING


def test_a_service_every_mesh_has_is_missed():
    model = watching()
    beat(model, NOON)
    let_pass(model, NOON, 1)

    found = rows(model, NOON + 1)

    assert found["gateway/"].health is ServiceHealth.ABSENT
    assert found["scheduler/"].health is ServiceHealth.ABSENT
    assert "dispatcher/" not in found


def test_nobody_is_missed_in_the_first_seconds():
    model = Model()
    model.apply(CONNECTED, NOON)
    model.apply(backlog(), NOON + 1)

    assert rows(model, NOON + 1) == {}


def test_a_loss_becomes_history_and_stopped_rows_leave():
    model = watching()
    beat(model, NOON)
    beat(model, NOON, instance="host-2", condition=ServiceCondition.DRAINING)
    let_pass(model, NOON, 20 * 60)

    found = rows(model, NOON + 20 * 60)

    assert found["dispatcher/host-1"].health is ServiceHealth.GONE
    assert "dispatcher/host-2" not in found
    assert found["dispatcher/"].health is ServiceHealth.ABSENT


def test_older_versions_are_marked_while_newer_ones_run():
    model = watching()
    beat(model, NOON, version="1.1.0", started_at=NOON - 10)
    beat(model, NOON, instance="host-2", version="1.0.9")

    found = rows(model, NOON)

    assert not found["dispatcher/host-1"].odd_version
    assert found["dispatcher/host-2"].odd_version


def test_what_services_say_of_their_servers_is_summed_up():
    model = watching()
    beat(model, NOON, dependencies={"postgres": "ok", "redis": "ok"})
    beat(
        model,
        NOON,
        instance="host-2",
        dependencies={"postgres": "no answer", "redis": "ok"},
    )

    said = model.snapshot(NOON).dependencies

    assert said == {"postgres": "no answer (1 of 2)", "redis": "ok"}


def test_the_three_services_come_first_and_by_name():
    model = watching()
    for service in ("sandbox", "scheduler", "gateway", "dispatcher"):
        beat(model, NOON, service=service)

    assert [row.service for row in model.snapshot(NOON).services] == [
        "gateway",
        "dispatcher",
        "scheduler",
        "sandbox",
    ]


def test_a_restart_is_told_even_when_it_was_too_quick_to_miss():
    model = watching()
    beat(model, NOON)
    beat(model, NOON + 1, started_at=NOON + 0.5, pid=4712)

    assert [line.what for line in model.snapshot(NOON).feed] == ["ready", "restarted"]
