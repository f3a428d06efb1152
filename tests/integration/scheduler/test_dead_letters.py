import json
from typing import Any

from prometheus_client import CollectorRegistry

from contracts import messages, subjects, topology
from contracts.messages import DeadLettered
from contracts.outcomes import FailureClass
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.dead_letters import DeadLetters, Sweep
from scheduler.publisher import Publisher
from scheduler.store import Store
from tests.integration.scheduler.advisories import (
    ADVISORY,
    DLQ,
    LANE,
    handled,
    is_stored,
    letters,
    sample,
    seed,
    unpublished,
)
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import column, give_up, stored, take
from tests.waiting import until


async def terminate(bus: Bus, message: Any, reason: str) -> None:
    """End a message as the dispatcher does that has given its notification up."""
    await bus.nc.publish(message.reply, f"+TERM {reason}".encode())
    await bus.nc.flush()


async def advise(bus: Bus, subject: str, payload: Any) -> None:
    """Write an advisory as the bus would, or as a forger would."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    await bus.js.publish(f"{subject}.NOTIFY.{LANE.channel}-{LANE.priority}", data)


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
    await until(lambda: is_stored(bus, ADVISORY, 1))

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
    assert sample(registry, "dead_letters_published_total", "class", "permanent") == 1


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

    assert sample(registry, "advisories_total", "kind", "invalid") == 5


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
