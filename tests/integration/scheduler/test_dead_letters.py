import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from contracts import messages, subjects, topology
from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.messages import DeadLettered, StatusChanged
from contracts.outcomes import FailureClass
from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.dead_letters import DeadLetters, Sweep
from scheduler.metrics import Metrics
from scheduler.orphans import Orphans
from scheduler.publisher import Publisher
from scheduler.store import Store
from scheduler.undelivered import Undelivered
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import (
    DEAD_DISPATCHER,
    LEASED,
    PARKED,
    column,
    count,
    give_up,
    ids_on_bus,
    shape,
    stored,
    take,
    trace,
)
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.HIGH)
ADVISORY = topology.ADVISORY.name
DLQ = topology.DLQ.name
MAX_DELIVER = 3


@pytest.fixture
def dead_letters(
    bus: Bus,
    store: Store,
    publisher: Publisher,
    undelivered: Undelivered,
    metrics: Metrics,
) -> DeadLetters:
    return DeadLetters(bus, store, publisher, undelivered, metrics)


async def terminate(bus: Bus, message: Any, reason: str) -> None:
    """End a message as the dispatcher does that has given its notification up."""
    await bus.nc.publish(message.reply, f"+TERM {reason}".encode())
    await bus.nc.flush()


async def deliver_in_vain(bus: Bus, messages_: int) -> None:
    """Deliver what a lane holds as often as the bus will, and put it back each time."""
    consumer = topology.lane_consumer(LANE)
    actual = (await bus.js.consumer_info(consumer.stream, consumer.name)).config
    await bus.js.add_consumer(consumer.stream, actual.evolve(max_deliver=MAX_DELIVER))
    for _ in range(MAX_DELIVER):
        taken = await take(bus, LANE, messages_)
        assert len(taken) == messages_
        for message in taken:
            await message.nak()
    assert await take(bus, LANE, 1) == [], "the bus has had enough of it"


async def exhaust(bus: Bus, messages_: int) -> None:
    """Deliver in vain, and wait for the bus to say so of each message."""
    await deliver_in_vain(bus, messages_)
    await until(lambda: _is_stored(bus, ADVISORY, messages_))


async def letters(bus: Bus) -> list[DeadLettered]:
    """Return what the DLQ holds."""
    found = []
    for sequence in range(1, await stored(bus, DLQ) + 1):
        message = await bus.js.get_msg(DLQ, seq=sequence)
        letter = messages.decode(message.data or b"")
        assert isinstance(letter, DeadLettered)
        found.append(letter)
    return found


async def handled(bus: Bus) -> bool:
    return await stored(bus, ADVISORY) == 0


async def advise(bus: Bus, subject: str, payload: Any) -> None:
    """Write an advisory as the bus would, or as a forger would."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    await bus.js.publish(f"{subject}.NOTIFY.{LANE.channel}-{LANE.priority}", data)


async def unpublished(ledger: Ledger) -> int:
    return await count(ledger, "dead_letter WHERE published_at IS NULL")


async def seed(
    ledger: Ledger, bus: Bus | None, number: int, **overrides: Any
) -> list[UUID]:
    return await seed_notifications(
        ledger, bus, number, channel=LANE.channel, priority=LANE.priority, **overrides
    )


async def test_a_terminated_notification_reaches_the_dlq(
    dead_letters: DeadLetters,
    ledger: Ledger,
    bus: Bus,
    registry: CollectorRegistry,
):
    [id_] = await seed(ledger, bus, 1, correlation_id="corr-9")
    [message] = await take(bus, LANE, 1)
    await give_up(ledger, [id_])
    await terminate(bus, message, f"{id_} permanent")
    await until(lambda: _is_stored(bus, ADVISORY, 1))

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    [letter] = await letters(bus)
    assert (letter.notification_id, letter.failure_class, letter.reason) == (
        id_,
        FailureClass.PERMANENT,
        "refused",
    )
    assert (letter.correlation_id, letter.attempts) == ("corr-9", 1)
    raw = await bus.js.get_msg(DLQ, seq=1)
    assert raw.subject == "dlq.sms.high"
    assert raw.headers is not None
    assert raw.headers[messages.MESSAGE_ID_HEADER] == f"dlq:{id_}:4"
    assert await unpublished(ledger) == 0
    assert _sample(registry, "dead_letters_published_total", "class", "permanent") == 1


async def test_advisories_that_come_twice_and_out_of_order_make_one_dead_letter_each(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    ids = await seed(ledger, None, 300)
    await give_up(ledger, ids)
    told = [
        {"stream": "NOTIFY", "stream_seq": number, "reason": f"{id_} permanent"}
        for number, id_ in enumerate(ids, start=1)
    ]
    for advisory in [*reversed(told), *told]:
        await advise(bus, subjects.MSG_TERMINATED, advisory)

    async with running(dead_letters.step):
        await until(lambda: handled(bus), 15)

    assert sorted(letter.notification_id for letter in await letters(bus)) == ids
    assert await unpublished(ledger) == 0


async def test_a_letter_that_was_published_and_not_noted_is_not_doubled(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    [id_] = await seed(ledger, None, 1)
    await give_up(ledger, [id_])
    advisory = {"stream": "NOTIFY", "stream_seq": 1, "reason": f"{id_} permanent"}
    await advise(bus, subjects.MSG_TERMINATED, advisory)
    async with running(dead_letters.step):
        await until(lambda: handled(bus))
        await ledger.fetch("UPDATE dead_letter SET published_at = NULL")
        await advise(bus, subjects.MSG_TERMINATED, advisory)
        await until(lambda: handled(bus))

    assert len(await letters(bus)) == 1
    assert await unpublished(ledger) == 0


async def test_a_notification_that_kills_its_dispatchers_fails_once(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    heard = await bus.nc.subscribe(subjects.STATUS_ALL)
    [id_] = await seed(ledger, bus, 1)
    await shape(ledger, [id_], DEAD_DISPATCHER, "lost_leases = 4")
    await exhaust(bus, 1)
    copy = await bus.js.get_msg(ADVISORY, seq=1)
    assert copy.subject is not None
    await bus.js.publish(copy.subject, copy.data or b"")

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    assert await column(ledger, "(status, sequence, failure_class)", [id_]) == [
        ("failed", 4, "poison")
    ]
    assert await column(ledger, "failed_at IS NOT NULL", [id_]) == [True]
    assert await trace(ledger, id_) == ["created", "queued", "failed"]
    [letter] = await letters(bus)
    assert (letter.notification_id, letter.failure_class) == (id_, FailureClass.POISON)
    assert await unpublished(ledger) == 0
    assert await stored(bus) == 0, "the bus keeps nothing of it"
    change = messages.decode((await heard.next_msg(1)).data)
    assert isinstance(change, StatusChanged)
    assert (change.status, change.failure_class) == (Status.FAILED, FailureClass.POISON)
    assert heard.pending_msgs == 0
    assert _sample(registry, "dead_letters_published_total", "class", "poison") == 1


async def test_after_an_outage_a_lease_that_ended_is_left_to_its_owner_at_first(
    dead_letters: DeadLetters,
    ledger: Ledger,
    bus: Bus,
    absence: Absence,
    registry: CollectorRegistry,
):
    settled, dead = ids = await seed(ledger, bus, 2)
    await shape(ledger, ids, DEAD_DISPATCHER, "lost_leases = 4")
    await exhaust(bus, 2)

    async def both_were_looked_at_again() -> bool:
        absence.failed()
        advised = _sample(registry, "advisories_total", "kind", "exhausted")
        return advised is not None and advised >= 4

    absence.failed()
    async with running(dead_letters.step):
        await until(both_were_looked_at_again)
        assert await column(ledger, "status", ids) == ["processing"] * 2
        await shape(
            ledger,
            [settled],
            "status = 'delivered', sequence = sequence + 1, delivered_at = now(),"
            " queued_at = NULL, lease_until = NULL, lease_owner = NULL",
        )
        await until(lambda: handled(bus))

    assert await column(ledger, "status", [settled]) == ["delivered"]
    assert await column(ledger, "failure_class", [dead]) == ["poison"]
    assert [letter.notification_id for letter in await letters(bus)] == [dead]


async def test_a_notification_without_attempts_left_fails(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    [id_] = await seed(ledger, bus, 1, max_attempts=1)
    await shape(ledger, [id_], "attempts = 1")
    await exhaust(bus, 1)

    async with running(dead_letters.step):
        await until(lambda: _failed(ledger, [id_]))
        await until(lambda: handled(bus))

    assert len(await letters(bus)) == 1
    assert await stored(bus) == 0


async def test_a_healthy_notification_that_was_put_back_too_often_gets_a_new_message(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus, registry: CollectorRegistry
):
    ids = await seed(ledger, bus, 20)
    await exhaust(bus, 20)

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys(ids, 1)
    taken = await take(bus, LANE, 20)
    assert {m.headers[messages.MESSAGE_ID_HEADER] for m in taken} == {
        f"{id_}:3" for id_ in ids
    }
    assert await trace(ledger, ids[0]) == ["created", "queued", "requeued"]
    assert (
        _sample(registry, "reconcile_repaired_total", "why", "put_back_too_often") == 20
    )
    assert await letters(bus) == []


async def test_what_a_dispatcher_is_still_at_work_on_is_settled_when_its_lease_ends(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    [id_] = await seed(ledger, bus, 1)
    await shape(ledger, [id_], LEASED, "lost_leases = 4")
    await shape(ledger, [id_], "lease_until = now() + interval '2 seconds'")
    await exhaust(bus, 1)

    async with running(dead_letters.step):
        await until(lambda: _was_told(bus))
        assert await column(ledger, "status", [id_]) == ["processing"]
        assert await stored(bus) == 1
        await until(lambda: handled(bus), 10)

    assert await column(ledger, "status", [id_]) == ["failed"]
    assert len(await letters(bus)) == 1


async def test_a_message_nobody_needs_is_removed(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    delivered, parked = await seed(ledger, bus, 2)
    await shape(ledger, [delivered], "status = 'delivered', queued_at = NULL")
    await shape(ledger, [parked], PARKED, "due_at = now() + interval '1 hour'")
    await bus.js.publish(subjects.notify(LANE), b"not a notification")
    await exhaust(bus, 3)

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    assert await stored(bus) == 0
    assert await column(ledger, "status", [delivered, parked]) == [
        "delivered",
        "retrying",
    ]


async def test_advisories_that_make_no_sense_are_counted_and_forgotten(
    dead_letters: DeadLetters, bus: Bus, registry: CollectorRegistry
):
    for payload in (
        b"",
        b"\xff\xfe",
        {"stream": "NOTIFY"},
        {"stream": "OTHER", "stream_seq": 1, "reason": "x y"},
        {"stream": "NOTIFY", "stream_seq": 1, "reason": "not-an-id permanent"},
    ):
        await advise(bus, subjects.MSG_TERMINATED, payload)

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    assert _sample(registry, "advisories_total", "kind", "invalid") == 5


async def test_a_forged_advisory_makes_nothing_happen(
    dead_letters: DeadLetters, ledger: Ledger, bus: Bus
):
    """It names a healthy notification, one that has its dead letter, and no message at all."""
    healthy, told = await seed(ledger, None, 2)
    await give_up(ledger, [told])
    await ledger.fetch("UPDATE dead_letter SET published_at = now()")
    for id_ in (healthy, told):
        await advise(
            bus,
            subjects.MSG_TERMINATED,
            {"stream": "NOTIFY", "stream_seq": 1, "reason": f"{id_} permanent"},
        )
    await advise(bus, subjects.MAX_DELIVERIES, {"stream": "NOTIFY", "stream_seq": 99})

    async with running(dead_letters.step):
        await until(lambda: handled(bus))

    assert await letters(bus) == []
    assert await column(ledger, "status", [healthy]) == ["queued"]


async def test_a_dead_letter_whose_advisory_was_lost_is_swept_up(
    store: Store, publisher: Publisher, ledger: Ledger, bus: Bus
):
    old = await seed(ledger, None, 250)
    [young] = await seed(ledger, None, 1)
    await give_up(ledger, old, age_seconds=60)
    await give_up(ledger, [young], age_seconds=1)
    sweep = Sweep(store, publisher, late_seconds=10)

    while (await sweep.step()).pause_seconds == 0:
        pass

    assert sorted(letter.notification_id for letter in await letters(bus)) == old
    assert await unpublished(ledger) == 1, "the young one still has its advisory"


async def test_a_letter_that_was_published_long_ago_and_never_noted_is_not_doubled(
    store: Store, publisher: Publisher, ledger: Ledger, bus: Bus
):
    """The bus remembers the ids of two minutes; here of a tenth of a second."""
    config = (await bus.js.stream_info(DLQ)).config
    await bus.js.update_stream(config.evolve(duplicate_window=0.1))
    noted, fresh, *missed = await seed(ledger, None, 602)
    await give_up(ledger, [noted, *missed], age_seconds=300)
    sweep = Sweep(store, publisher, late_seconds=10)
    while (await sweep.step()).pause_seconds == 0:
        pass
    await until(lambda: _has_forgotten_ids(bus))
    before = await stored(bus, DLQ)
    await ledger.fetch(
        "UPDATE dead_letter SET published_at = NULL WHERE notification_id = ANY ($1)",
        missed,
    )
    await give_up(ledger, [fresh], age_seconds=300)

    while (await sweep.step()).pause_seconds == 0:
        pass

    assert await unpublished(ledger) == 0
    assert await stored(bus, DLQ) == before + 1
    last = messages.decode((await bus.js.get_last_msg(DLQ, "dlq.>")).data or b"")
    assert isinstance(last, DeadLettered)
    assert last.notification_id == fresh


async def test_a_letter_grown_old_between_its_reading_and_its_publish_is_not_doubled(
    store: Store, publisher: Publisher, ledger: Ledger, bus: Bus
):
    """Frozen in between, a scheduler does not see that another has published it meanwhile."""
    config = (await bus.js.stream_info(DLQ)).config
    await bus.js.update_stream(config.evolve(duplicate_window=0.1))
    ids = await seed(ledger, None, 3)
    await give_up(ledger, ids)
    read = await store.letters_of(ids)
    await publisher.write_letters(await store.letters_of(ids))
    await until(lambda: _has_forgotten_ids(bus))
    before = await stored(bus, DLQ)
    frozen_seconds = topology.DUPLICATE_WINDOW_SECONDS + 1

    await publisher.write_letters(
        [one._replace(written_at=one.written_at - frozen_seconds) for one in read]
    )

    assert await stored(bus, DLQ) == before


async def _has_forgotten_ids(bus: Bus) -> bool:
    """Say whether the DLQ would take everything it has once more; it keeps nothing of it."""
    [first] = [await bus.js.get_msg(DLQ, seq=1)]
    assert first.headers is not None
    again = await bus.js.publish(
        first.subject or "", first.data or b"", headers=dict(first.headers)
    )
    if again.duplicate:
        return False
    return await bus.js.delete_msg(DLQ, again.seq)


async def test_a_dead_letter_outlives_its_notification(
    store: Store, publisher: Publisher, ledger: Ledger, bus: Bus
):
    [id_] = await seed(ledger, None, 1)
    await give_up(ledger, [id_], age_seconds=60)
    await ledger.fetch("DELETE FROM notification")

    await Sweep(store, publisher, late_seconds=10).step()

    [letter] = await letters(bus)
    assert (letter.notification_id, letter.correlation_id) == (id_, "")


async def test_a_message_given_up_without_an_advisory_is_found_and_replaced(
    undelivered: Undelivered, metrics: Metrics, ledger: Ledger, bus: Bus
):
    await bus.js.delete_stream(ADVISORY)
    stuck, finished = await seed(ledger, bus, 2)
    await shape(ledger, [finished], "status = 'delivered', queued_at = NULL")
    await shape(ledger, [stuck], DEAD_DISPATCHER)
    await shape(ledger, [stuck], "updated_at = now() - interval '1 hour'")
    await deliver_in_vain(bus, 2)
    fresh = await seed(ledger, bus, 5)
    orphans = Orphans(bus, undelivered, metrics)

    await orphans.step()
    assert await stored(bus) == 7, "one look is not enough"
    await orphans.step()

    assert await ids_on_bus(bus, [LANE]) == dict.fromkeys([stuck, *fresh], 1)
    assert await column(ledger, "(status, sequence)", [stuck]) == [("queued", 4)]
    taken = await take(bus, LANE, 10)
    assert len(taken) == 6, "everything left is delivered"


async def test_a_lane_that_only_waits_has_no_orphans(
    undelivered: Undelivered, metrics: Metrics, ledger: Ledger, bus: Bus
):
    ids = await seed(ledger, bus, 100)
    await shape(ledger, ids, "updated_at = now() - interval '1 hour'")
    taken = await take(bus, LANE, 50)
    for message in taken[:25]:
        await message.nak(delay=60)
    orphans = Orphans(bus, undelivered, metrics)

    for _ in range(3):
        await orphans.step()

    assert await stored(bus) == 100
    assert set(await column(ledger, "sequence", ids)) == {2}


async def _is_stored(bus: Bus, stream: str, number: int) -> bool:
    return await stored(bus, stream) == number


async def _failed(ledger: Ledger, ids: Iterable[UUID]) -> bool:
    return set(await column(ledger, "status", ids)) == {"failed"}


async def _was_told(bus: Bus) -> bool:
    info = await bus.js.consumer_info(ADVISORY, topology.DEAD_LETTERS.name)
    return bool(info.num_ack_pending)


def _sample(
    registry: CollectorRegistry, name: str, label: str, value: str
) -> float | None:
    return registry.get_sample_value(f"tocsin_scheduler_{name}", {label: value})
