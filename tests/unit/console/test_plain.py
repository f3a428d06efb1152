import json

import pytest

from console import plain
from console.model import Model
from console.operator import Group
from console.source.scripted import ScriptedSource
from tests.unit.console.people import letter
from tests.unit.console.world import (
    CONNECTED,
    LOST,
    NOON,
    backlog,
    busy,
    change,
    moment,
    reported,
)


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
            "breaker",
            "queued",
            "unacked",
            "in-flight",
            "rate/s",
            "fail",
            "p95",
            "oldest",
            "limit",
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


def test_providers_are_a_table_of_breakers_and_shares(model):
    lines = plain.providers_text(model.snapshot(NOON)).splitlines()

    assert lines[0].split()[:3] == ["provider", "breaker", "share"]
    assert [line.split()[0] for line in lines[1:]] == [
        "acme",
        "backup",
        "smtp",
        "fcm",
        "webhook",
    ]
    fcm = lines[4].split()
    assert fcm[1:6] == ["open", "push", "0%", "21s", "19s"]


def test_providers_as_json_hold_what_each_dispatcher_says(model):
    said = json.loads(plain.providers_json(model.snapshot(NOON)))

    acme = next(row for row in said["providers"] if row["name"] == "acme")
    assert acme["health"] == "closed"
    assert acme["limit"] == 50.0
    assert [one["instance"] for one in acme["said"]] == ["mesh-7c2-305"]


def test_the_schedule_is_a_table_of_jobs_and_one_of_runs(model):
    jobs, runs = plain.schedule_text(model.snapshot(NOON)).split("\n\n")

    assert len(jobs.splitlines()) == 1 + 13
    assert "retention          failed  every 10 minutes" in jobs
    assert "12 lease_ended, 3 message_lost" in runs
    assert "the ledger did not answer in time" in runs


def test_the_schedule_as_json_says_what_was_repaired(model):
    said = json.loads(plain.schedule_json(model.snapshot(NOON)))

    reconcile = next(job for job in said["jobs"] if job["name"] == "reconcile")
    assert reconcile["why"] == {"message_lost": 3, "lease_ended": 12}
    assert said["runs"][0]["started_at"] >= said["runs"][-1]["started_at"]


def test_dead_letters_are_a_table_by_what_they_died_of():
    group = Group(
        channel="sms",
        class_="permanent",
        reason="not a number",
        count=1_204,
        first=moment(NOON - 6720),
        last=moment(NOON - 60),
    )

    header, row = plain.groups_text([group], moment(NOON)).splitlines()

    assert header.split() == ["channel", "class", "reason", "count", "first", "last"]
    assert row.split() == [
        "sms",
        "permanent",
        "not",
        "a",
        "number",
        "1,204",
        "1h52m",
        "1m",
    ]
    [said] = json.loads(plain.groups_json([group], moment(NOON)))["groups"]
    assert said["class"] == "permanent"


def test_each_dead_letter_is_a_line():
    one = letter()

    assert str(one.notification_id) in plain.letters_text([one]).splitlines()[1]
    assert json.loads(plain.letters_json([one]))["id"] == str(one.id)


def test_services_say_which_is_older_or_configured_otherwise():
    model = Model()
    model.apply(CONNECTED, NOON - 10)
    for instance, hash_ in (("host-1", "aaaaaaaa"), ("host-2", "bbbbbbbb")):
        started = NOON - (60 if instance == "host-1" else 30)
        model.apply(
            reported(NOON, instance=instance, settings_hash=hash_, started_at=started),
            NOON,
        )

    text = plain.services_text(model.snapshot(NOON))

    assert "aaaaaaaa odd" in text
    assert "bbbbbbbb odd" not in text


async def test_a_bus_that_is_away_is_said_with_the_reason():
    async with plain.Watch(ScriptedSource([LOST])) as watch:
        with pytest.raises(plain.Unreachable, match="connection refused"):
            await watch.connected(patience_seconds=0.05)


async def test_watching_begins_with_the_first_news():
    async with plain.Watch(ScriptedSource([CONNECTED, backlog(3)])) as watch:
        await watch.connected()

        assert watch.snapshot().totals.queued == 27
