"""What operators see: lanes, providers, processes, jobs, and notifications they look for."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from contracts import controls, subjects
from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import Channel, Priority
from contracts.controls import RateLimit
from contracts.ids import new_id
from contracts.mesh import (
    JobOutcome,
    JobReading,
    LaneReading,
    ProviderReading,
    ServiceCondition,
)
from contracts.oversight import Found, recipient_hash
from contracts.topology import BREAKERS
from gateway.routes import audit
from ops.client import Operator, Refused
from ops.runtime.bus import Bus
from ops.runtime.controls import set_control
from ops.runtime.ledger import Ledger
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import (
    BATCHES,
    SMS,
    RunningGateway,
)
from tests.integration.gateway.operators import OPS, say, state_of
from tests.rows import insert, notification
from tests.waiting import until

NUMBER = "+15555550142"


async def test_lanes_show_what_waits_what_is_held_and_the_limit(
    gateway: RunningGateway, bus: Bus, ada: Operator
) -> None:
    for _ in range(3):
        await gateway.create(priority="high")
    high = LaneReading(channel=Channel.SMS, priority=Priority.HIGH, in_flight=4)
    limits = {Channel.SMS: 100.0}
    for name in ("one", "two"):
        await say(
            bus, gateway, state_of("dispatcher", name, lanes=[high], limits=limits)
        )

    async def counted() -> bool:
        [lane] = [lane for lane in (await ada.lanes()).value.items if lane.queued]
        return (lane.channel, lane.priority, lane.queued) == ("sms", "high", 3)

    await until(counted, 20)
    lanes = {(n.channel, n.priority): n for n in (await ada.lanes()).value.items}
    assert len(lanes) == 9
    assert lanes[Channel.SMS, Priority.HIGH].in_flight == 8
    assert lanes[Channel.SMS, Priority.HIGH].limit_per_second == 100
    assert lanes[Channel.EMAIL, Priority.HIGH].limit_per_second is None
    rate = RateLimit(by="me", at=datetime.now(UTC), per_second=7)
    await set_control(bus, controls.channel_rate_key(Channel.SMS), rate)
    limited = (await ada.lanes()).value.items
    assert {n.limit_per_second for n in limited if n.channel == "sms"} == {7}


async def test_providers_are_summed_up_over_the_dispatchers_that_agree(
    gateway: RunningGateway, bus: Bus, ada: Operator
) -> None:
    at = datetime(2026, 11, 27, 12, tzinfo=UTC)
    shared = BreakerState(condition=BreakerCondition.CLOSED, by="one", at=at)
    await bus.js.publish(
        subjects.bucket_value(BREAKERS.name, "acme"), msgspec.json.encode(shared)
    )
    for name, revision, sends in (("one", 3, 10), ("two", 3, 20), ("late", 2, 500)):
        acme = ProviderReading(
            name="acme",
            revision=revision,
            sends=sends,
            failures=1,
            rate_limit=50,
            shares={Channel.SMS: 0.5},
        )
        await say(bus, gateway, state_of("dispatcher", name, providers=[acme]))
    [acme_now] = (await ada.breakers()).value.items

    assert (acme_now.provider, acme_now.sends, acme_now.failures) == ("acme", 30, 2)
    assert (acme_now.since, acme_now.rate_limit) == (at, 50)
    assert acme_now.shares == {Channel.SMS: 0.5}
    assert acme_now.override is None


async def test_a_process_that_falls_silent_is_lost_and_one_that_says_goodbye_is_not(
    gateway: RunningGateway, bus: Bus, ada: Operator
) -> None:
    await say(bus, gateway, state_of("dispatcher", "killed"))
    draining = ServiceCondition.DRAINING
    await say(bus, gateway, state_of("dispatcher", "left", condition=draining))

    async def told() -> dict[str, bool]:
        items = (await ada.services()).value.items
        return {item.state.instance: item.lost for item in items}

    async def is_lost() -> bool:
        return await told() == {"killed": True, "test": False}

    await until(is_lost, 30)
    [killed, own] = (await ada.services()).value.items
    assert killed.age_seconds > 5
    assert own.age_seconds < killed.age_seconds
    assert own.state.service == "gateway"


async def test_the_schedule_shows_jobs_as_last_told_and_runs_on_record(
    gateway: RunningGateway, bus: Bus, ledger: Ledger, ada: Operator
) -> None:
    began = datetime(2026, 11, 27, 12, tzinfo=UTC)
    for minute, job in enumerate(("release", "outbox", "release")):
        await insert(
            ledger.pool,
            "job_run",
            id=new_id(),
            job=job,
            instance="s1",
            started_at=began + timedelta(minutes=minute),
            duration_seconds=0.25,
            runs=2,
            outcome="finished",
            scanned=10,
            repaired=1,
            why='{"due": 1}',
            error="",
            idle=False,
        )
    release = JobReading(
        name="release", period_seconds=0.5, outcome=JobOutcome.FINISHED
    )
    outbox = JobReading(name="outbox", period_seconds=1)
    await say(bus, gateway, state_of("scheduler", "s1", jobs=[release, outbox]))
    everything = (await ada.schedule()).value
    releases = (await ada.schedule(job="release", limit=1)).value

    assert everything.jobs == [outbox, release]
    assert [run.job for run in everything.runs] == ["release", "outbox", "release"]
    assert everything.runs[0].why == {"due": 1}
    assert everything.runs[0].runs == 2
    assert releases.jobs == [release]
    assert [run.started_at for run in releases.runs] == [began + timedelta(minutes=2)]


async def found(ada: Operator, **by: object) -> list[Found]:
    return (await ada.find(**by)).value.items  # type: ignore[arg-type]


async def test_a_notification_is_found_by_each_thing_that_may_be_known_of_it(
    gateway: RunningGateway, ledger: Ledger, ada: Operator
) -> None:
    sent = await gateway.post(SMS | {"recipient": NUMBER}, Idempotency_Key="order-7")
    id_ = UUID((await sent.json())["id"])
    await seed_notifications(ledger, None, 50)
    [by_id] = await found(ada, id_=id_)

    assert by_id.id == id_
    assert await found(ada, idempotency_key="order-7") == [by_id]
    assert await found(ada, recipient=NUMBER) == [by_id]
    assert await found(ada, recipient_hash=recipient_hash(NUMBER)) == [by_id]
    assert by_id.recipient_hash == recipient_hash(NUMBER)
    assert by_id.recipient == "+15***42"
    assert NUMBER.encode() not in (await ada.find(id_=id_)).body
    assert SMS["content"].encode() not in (await ada.find(id_=id_)).body
    for nothing in (
        {"id_": new_id()},
        {"idempotency_key": "order-8"},
        {"recipient": "+15555550143"},
        {"recipient_hash": "0" * 16},
    ):
        assert await found(ada, **nothing) == []


async def test_a_key_is_found_after_it_is_forgotten_and_finds_a_whole_batch(
    gateway: RunningGateway, ledger: Ledger, ada: Operator
) -> None:
    await gateway.post(SMS, Idempotency_Key="order-7")
    batch = {"notifications": [SMS] * 3}
    await gateway.post(batch, BATCHES, Idempotency_Key="batch-7")

    assert len(await found(ada, idempotency_key="batch-7")) == 3
    assert len(await found(ada, idempotency_key="batch-7", limit=2)) == 2
    [before] = await found(ada, idempotency_key="order-7")
    await ledger.fetch("DELETE FROM idempotency_key")
    assert await found(ada, idempotency_key="order-7") == [before]


async def test_a_search_that_takes_too_long_says_how_far_it_looked(
    ledger: Ledger, ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_SEARCH_SECONDS", -1.0)
    old = datetime.now(UTC) - timedelta(days=2)
    row = notification(recipient=NUMBER, created_at=old)
    await insert(ledger.pool, **row)
    await seed_notifications(ledger, None, 600)
    short = (await ada.find(recipient=NUMBER)).value

    assert short.items == []
    assert short.searched_from is not None
    assert short.searched_from > old


async def test_a_look_up_is_by_one_thing_and_says_what_is_wrong(
    gateway: RunningGateway, ada: Operator
) -> None:
    for by, words in (
        ({}, "look up by one of"),
        ({"recipient": NUMBER, "idempotency_key": "k"}, "look up by one of"),
        ({"recipient_hash": NUMBER}, "16 hex digits"),
        ({"recipient": NUMBER, "limit": 101}, "between 1 and 100"),
    ):
        with pytest.raises(Refused, match=words):
            await found(ada, **by)
    assert (await gateway.get(f"{OPS}/notifications?id=7")).status == 400
