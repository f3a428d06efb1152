from collections.abc import Iterable
from uuid import UUID

from prometheus_client import CollectorRegistry

from contracts import messages, subjects, topology
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from contracts.outcomes import FailureClass
from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.dead_letters import DeadLetters
from scheduler.metrics import Metrics
from scheduler.orphans import Orphans
from scheduler.undelivered import Undelivered
from tests.integration.scheduler.advisories import (
    ADVISORY,
    LANE,
    handled,
    is_stored,
    letters,
    sample,
    seed,
    unpublished,
)
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import (
    DEAD_DISPATCHER,
    LEASED,
    PARKED,
    column,
    ids_on_bus,
    shape,
    stored,
    take,
    trace,
)
from tests.waiting import until

MAX_DELIVER = 3


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
    await until(lambda: is_stored(bus, ADVISORY, messages_))


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
    assert sample(registry, "dead_letters_published_total", "class", "poison") == 1


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
        advised = sample(registry, "advisories_total", "kind", "exhausted")
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
        sample(registry, "reconcile_repaired_total", "why", "put_back_too_often") == 20
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


async def _failed(ledger: Ledger, ids: Iterable[UUID]) -> bool:
    return set(await column(ledger, "status", ids)) == {"failed"}


async def _was_told(bus: Bus) -> bool:
    info = await bus.js.consumer_info(ADVISORY, topology.DEAD_LETTERS.name)
    return bool(info.num_ack_pending)
