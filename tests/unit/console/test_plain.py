import json

import pytest

from console import plain
from console.model import Model
from console.source.scripted import ScriptedSource
from tests.unit.console.world import CONNECTED, LOST, NOON, backlog, busy, change


@pytest.fixture
def model() -> Model:
    model = Model()
    for at, event in busy(30):
        model.apply(event, at)
    model.tick(NOON)
    return model


def test_lanes_are_a_table_that_lines_up(model):
    lines = plain.lanes_text(model.snapshot(NOON)).splitlines()

    assert lines[0].split() == (
        [
            "channel",
            "priority",
            "state",
            "queued",
            "unacked",
            "in-flight",
            "rate/s",
            "fail",
            "oldest",
        ]
    )
    assert len(lines) == 1 + 9 + 1 + 1
    assert len({len(line) for line in lines[:-1]}) == 1
    assert "failing" in next(
        line for line in lines if line.startswith("sms      normal")
    )


def test_lanes_as_json_are_numbers_and_nulls(model):
    said = json.loads(plain.lanes_json(model.snapshot(NOON)))

    assert said["at"] == "2026-11-27T10:42:07Z"
    assert [lane["channel"] for lane in said["lanes"]] == ["sms"] * 3 + [
        "email"
    ] * 3 + ["push"] * 3
    assert said["lanes"][0]["queued"] > 0
    assert said["lanes"][0]["trend"][0] is None
    assert said["link"]["stale"] is False


def test_services_name_what_is_missing():
    model = Model()
    model.apply(CONNECTED, NOON - 10)
    model.apply(backlog(), NOON)
    model.tick(NOON)

    text = plain.services_text(model.snapshot(NOON))

    assert "gateway     -         -        absent" in text


def test_a_change_is_one_line():
    assert plain.change_text(change(NOON)) == (
        "10:42:07.000 delivered  sms/high     019ac4c8-5d00-7000-8000-000000000001 webhook"
    )
    assert json.loads(plain.change_json(change(NOON)))["status"] == "delivered"


async def test_a_bus_that_is_away_is_said_with_the_reason():
    async with plain.Watch(ScriptedSource([LOST])) as watch:
        with pytest.raises(plain.Unreachable, match="connection refused"):
            await watch.connected(patience_seconds=0.05)


async def test_watching_begins_with_the_first_news():
    async with plain.Watch(ScriptedSource([CONNECTED, backlog(3)])) as watch:
        await watch.connected()

        assert watch.snapshot().totals.queued == 27
