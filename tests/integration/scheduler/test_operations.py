import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from contracts import spool, subjects
from contracts.channels import Channel
from contracts.ids import new_id
from contracts.messages import queueing_id
from contracts.operations import LetterFilter, OperationKind, OperationState
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.operation_store import OperationStore
from scheduler.operations import Operations, page_size
from scheduler.publisher import Publisher
from scheduler.spool import SpoolDrain
from scheduler.spool_store import SpoolStore
from tests.integration.factories import seed_notifications
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import (
    LEASED,
    PENDING,
    begin,
    column,
    count,
    give_up,
    ids_on_bus,
    shape,
    submission,
    tally,
    trace,
)
from tests.rows import insert
from tests.waiting import until

RECIPIENT = "+15555557777"


@pytest_asyncio.fixture
async def operations(
    bus: Bus, ledger: Ledger, publisher: Publisher, metrics: Metrics
) -> AsyncIterator[Operations]:
    """What one scheduler runs; another one is made the same way."""
    yield Operations(bus, OperationStore(ledger), publisher, metrics)


async def failed(ledger: Ledger, number: int, **columns: Any) -> list[UUID]:
    ids = await seed_notifications(ledger, None, number, **columns)
    await give_up(ledger, ids)
    return ids


async def operation(ledger: Ledger, id_: UUID) -> Any:
    [row] = await ledger.fetch("SELECT * FROM operation WHERE id = $1", id_)
    return row


async def is_over(ledger: Ledger, *ids: UUID) -> bool:
    rows = [await operation(ledger, id_) for id_ in ids]
    return all(row["state"] != OperationState.RUNNING for row in rows)


async def done(ledger: Ledger, id_: UUID) -> int:
    number: int = (await operation(ledger, id_))["done"]
    return number


async def resolutions(ledger: Ledger, ids: Sequence[UUID]) -> list[str | None]:
    rows = await ledger.fetch(
        "SELECT resolution FROM dead_letter WHERE notification_id = ANY ($1)", ids
    )
    return [row["resolution"] for row in rows]


async def test_a_replay_begins_anew_under_a_new_queueing(
    operations: Operations, ledger: Ledger, bus: Bus
):
    [id_] = await failed(ledger, 1)
    await shape(ledger, [id_], "lost_leases = 5")
    replay = await begin(ledger)

    async with running(operations.step):
        await until(lambda: is_over(ledger, replay))

    [row] = await ledger.fetch("SELECT * FROM notification")
    assert (row["status"], row["sequence"], row["attempts"]) == ("queued", 5, 0)
    assert row["lost_leases"] == 0, "a suspect starts anew"
    assert (row["failure_class"], row["failed_at"]) == (None, None)
    assert await ids_on_bus(bus) == {id_: 1}
    message = await bus.js.get_last_msg("NOTIFY", "notify.sms.normal")
    assert message.headers is not None
    assert message.headers["Nats-Msg-Id"] == queueing_id(id_, 5)
    assert await count(ledger, "outbox_group") == 0
    [event] = await ledger.fetch(
        "SELECT * FROM notification_event WHERE notification_id = $1"
        " ORDER BY id DESC LIMIT 1",
        id_,
    )
    assert (event["event"], event["sequence"]) == ("queued", 5)
    assert json.loads(event["details"]) == {
        "replay": str(replay),
        "who": "ann",
        "why": "the provider is back",
    }
    [letter] = await ledger.fetch("SELECT * FROM dead_letter")
    assert letter["resolution"] == "replayed"
    assert (letter["resolved_by"], letter["operation_id"]) == ("ann", replay)
    assert (await operation(ledger, replay))["state"] == OperationState.FINISHED


async def test_replays_at_once_replay_each_notification_once(
    operations: Operations,
    bus: Bus,
    ledger: Ledger,
    publisher: Publisher,
    metrics: Metrics,
):
    ids = await failed(ledger, 300)
    replays = [await begin(ledger) for _ in range(3)]
    other = Operations(bus, OperationStore(ledger), publisher, metrics)

    async with running(operations.step, other.step):
        await until(lambda: is_over(ledger, *replays), 10)

    assert sum([await done(ledger, id_) for id_ in replays]) == len(ids)
    assert await tally(ledger, "sequence", ids) == {5: len(ids)}
    assert await ids_on_bus(bus) == dict.fromkeys(ids, 1)


async def test_a_replay_keeps_to_its_rate_and_stops_when_told_to(
    operations: Operations, ledger: Ledger
):
    await failed(ledger, 200)
    replay = await begin(ledger, rate_per_second=20.0)

    started = time.monotonic()
    async with running(operations.step):
        await until(lambda: at_least(ledger, replay, 20))
        took = time.monotonic() - started
        await ledger.fetch(
            "UPDATE operation SET state = 'stopped' WHERE id = $1", replay
        )
        stopped_at = await done(ledger, replay)
        await until(lambda: is_over(ledger, replay))
        await asyncio.sleep(0.3)  # the time of two more pages

    assert took >= 0.6, "20 at 20 a second, less what a pause may make up for"
    assert await done(ledger, replay) <= stopped_at
    assert (await operation(ledger, replay))["state"] == OperationState.STOPPED


async def at_least(ledger: Ledger, id_: UUID, number: int) -> bool:
    return await done(ledger, id_) >= number


async def test_only_what_passes_the_filter_is_replayed(
    operations: Operations, ledger: Ledger
):
    sms = await failed(ledger, 3)
    mail = await failed(ledger, 3, channel=Channel.EMAIL)
    foreign = await failed(ledger, 2, channel=Channel.EMAIL)
    await ledger.fetch(
        "UPDATE dead_letter SET tenant = 'other' WHERE notification_id = ANY ($1)",
        foreign,
    )
    replay = await begin(ledger, which=LetterFilter(channel=Channel.EMAIL))
    picked = await begin(
        ledger, OperationKind.DISCARD, LetterFilter(ids=[sms[0], foreign[0]])
    )

    async with running(operations.step):
        await until(lambda: is_over(ledger, replay, picked))

    assert await tally(ledger, "status", mail) == {"queued": 3}
    assert await tally(ledger, "status", sms + foreign) == {"failed": 5}
    assert await resolutions(ledger, sms[:1]) == ["discarded"]
    assert await resolutions(ledger, sms[1:] + foreign) == [None] * 4


async def test_what_has_expired_or_was_redacted_is_left_as_it_is(
    operations: Operations, ledger: Ledger
):
    expired, redacted, whole = await failed(ledger, 3)
    await shape(ledger, [expired], "expires_at = now() - interval '1 second'")
    await shape(ledger, [redacted], "redacted_at = now()")
    replay = await begin(ledger)

    async with running(operations.step):
        await until(lambda: is_over(ledger, replay))

    row = await operation(ledger, replay)
    assert (row["done"], row["refused"]) == (1, 2)
    assert await column(ledger, "status", [whole]) == ["queued"]
    assert await resolutions(ledger, [expired, redacted]) == [None, None]


async def test_what_fails_again_is_not_replayed_again_by_the_same_operation(
    operations: Operations, ledger: Ledger
):
    ids = await failed(ledger, 2)
    [newest] = await ledger.fetch("SELECT max(id::text)::uuid AS id FROM dead_letter")
    replay = await begin(ledger, until=newest["id"], rate_per_second=1000.0)

    async with running(operations.step):
        await until(lambda: at_least(ledger, replay, 2))
        await shape(ledger, ids, "sequence = 8, status = 'failed', queued_at = NULL")
        await ledger.fetch(
            "INSERT INTO dead_letter (notification_id, sequence, tenant, channel, priority,"
            " attempts, failure_class, reason, created_at) SELECT id, 8, tenant, channel,"
            " priority, 1, 'permanent', 'again', now() FROM notification"
        )
        await until(lambda: is_over(ledger, replay))

    assert await done(ledger, replay) == 2
    assert await tally(ledger, "status", ids) == {"failed": 2}


async def containing(ledger: Ledger, text: str) -> list[str]:
    """Return every column of every table that has a text in it, in whatever type."""
    columns = await ledger.fetch(
        "SELECT table_name AS t, column_name AS c FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type <> 'ARRAY'"
        " AND table_name !~ '_(p[0-9]{8}|default)$'"
    )
    found = []
    for column_ in columns:
        table, name = column_["t"], column_["c"]
        as_text = f'position($1 IN "{name}"::text) > 0'
        as_bytes = (
            f"position(encode(convert_to($1, 'UTF8'), 'hex') IN \"{name}\"::text) > 0"
        )
        [row] = await ledger.fetch(
            f'SELECT count(*) AS n FROM "{table}" WHERE {as_text} OR {as_bytes}', text
        )
        if row["n"]:
            found.append(f"{table}.{name}")
    return sorted(found)


async def test_an_erasure_leaves_no_trace_of_the_recipient_in_any_table(
    operations: Operations, ledger: Ledger
):
    sent, waiting, busy, dead = await seed_notifications(
        ledger, None, 4, recipient=RECIPIENT, content=f"Hello {RECIPIENT}"
    )
    [other] = await seed_notifications(ledger, None, 1)
    await shape(
        ledger,
        [sent],
        "status = 'delivered', queued_at = NULL, receipt_ids = ARRAY[uuidv7()], "
        f'receipt = \'{{"message_id": "to {RECIPIENT}"}}\'',
    )
    await shape(ledger, [waiting], PENDING, "due_at = now() + interval '1 day'")
    await shape(ledger, [busy], LEASED)
    batch = new_id()
    await shape(
        ledger,
        [dead],
        f"batch_id = '{batch}', idempotency_key = 'k{RECIPIENT}', "
        f"metadata = '{{\"to\": \"{RECIPIENT}\"}}', correlation_id = 'c{RECIPIENT}'",
    )
    await give_up(ledger, [dead])
    await ledger.fetch(f"UPDATE dead_letter SET reason = 'no such number {RECIPIENT}'")
    await insert(
        ledger.pool,
        "batch",
        id=batch,
        tenant="default",
        size=1,
        last_id=dead,
        correlation_id=RECIPIENT,
        created_at=datetime.now(UTC),
    )
    await ledger.fetch(
        "INSERT INTO notification_event (notification_id, event, details)"
        " VALUES ($1, 'failed', jsonb_build_object('error', $2::text))",
        dead,
        f"bad {RECIPIENT}",
    )
    await ledger.fetch(
        "INSERT INTO idempotency_key (tenant, endpoint, key, body_hash, resource_id,"
        " response, correlation_id, created_at, expires_at)"
        " SELECT 'default', 'POST /', key, '', uuidv7(), convert_to(response, 'UTF8'), 'c',"
        " now(), now() + interval '1 day'"
        " FROM (VALUES ('a', $1), ($2, '{}'), ('b', '{\"id\":1}')) AS v (key, response)",
        json.dumps({"recipient": RECIPIENT}),
        f"welcome-{RECIPIENT}",
    )
    await begin(ledger, reason=f"asked by {RECIPIENT}", state="stopped")
    await ledger.fetch(
        "INSERT INTO audit (id, tenant, action, target, who, reason, at, effect, details)"
        " VALUES (uuidv7(), 'default', 'lane.paused', 'sms', 'Ada', $1, now(), 'done',"
        " jsonb_build_object('previous', $1::text))",
        f"{RECIPIENT} complained",
    )
    assert await containing(ledger, RECIPIENT) == [
        *("audit.details", "audit.reason"),
        *("batch.correlation_id", "dead_letter.reason", "idempotency_key.key"),
        *("idempotency_key.response", "notification.content"),
        *("notification.correlation_id", "notification.idempotency_key"),
        *("notification.metadata", "notification.receipt", "notification.recipient"),
        *("notification_event.details", "operation.reason"),
    ]

    erasure = await begin(ledger, OperationKind.ERASE, target=RECIPIENT)
    async with running(operations.step):
        await until(lambda: at_least(ledger, erasure, 3))
        assert not await is_over(ledger, erasure), "one is being sent"
        await shape(ledger, [busy], "status = 'delivered', queued_at = NULL")
        await until(lambda: is_over(ledger, erasure))

    assert await containing(ledger, RECIPIENT) == []
    assert await column(ledger, "status", [sent, waiting, busy, dead]) == [
        *("delivered", "cancelled", "delivered", "failed")
    ]
    assert await trace(ledger, waiting) == ["created", "queued", "cancelled", "erased"]
    assert await trace(ledger, sent) == ["created", "queued", "erased"]
    assert await column(ledger, "content", [other]) == ["The kettle is on."]
    assert await resolutions(ledger, [dead]) == ["discarded"]
    assert await count(ledger, "idempotency_key") == 3
    row = await operation(ledger, erasure)
    assert (row["state"], row["done"], row["who"]) == ("finished", 4, "ann")


async def test_an_erasure_waits_for_what_is_still_in_the_spool(
    operations: Operations,
    bus: Bus,
    ledger: Ledger,
    publisher: Publisher,
    metrics: Metrics,
):
    kept = submission(RECIPIENT)
    await bus.js.publish(subjects.spooled(kept.id), spool.encode(kept))
    erasure = await begin(ledger, OperationKind.ERASE, target=RECIPIENT)
    drain = SpoolDrain(bus, SpoolStore(ledger), publisher, metrics)

    for _ in range(3):
        await operations.step()
        await ledger.fetch("UPDATE operation SET ready_at = now()")
    assert not await is_over(ledger, erasure)

    async with running(operations.step, drain.step):
        await until(lambda: is_over(ledger, erasure), 20)
    assert await containing(ledger, RECIPIENT) == []
    assert await column(ledger, "status", [kept.id]) == ["cancelled"]


async def test_only_one_has_an_operation_at_a_time_and_a_stop_waits_for_the_page(
    ledger: Ledger,
):
    """Two schedulers believe to hold the job; once a stop is answered nothing more moves."""
    ids = await failed(ledger, 20)
    replay = await begin(ledger, rate_per_second=20.0)
    store = OperationStore(ledger)
    async with store.turn() as turn, store.turn() as other:
        assert turn is not None
        assert other is None
        page = await turn.replay(4)
        stop = asyncio.create_task(
            ledger.fetch(
                "UPDATE operation SET state = 'stopped' WHERE state = 'running'"
            )
        )
        await until(lambda: somebody_waits(ledger))
        assert not stop.done()
        await turn.advance(
            done=page.done, refused=0, reached=page.letters[-1], pause_seconds=0
        )
    await stop

    async with store.turn() as turn:
        assert turn is None
    assert await done(ledger, replay) == 4
    assert await tally(ledger, "status", ids) == {"queued": 4, "failed": 16}


async def somebody_waits(ledger: Ledger) -> bool:
    return bool(await ledger.fetch("SELECT FROM pg_locks WHERE NOT granted"))


async def test_two_at_once_keep_to_the_rate_of_one(
    operations: Operations,
    bus: Bus,
    ledger: Ledger,
    publisher: Publisher,
    metrics: Metrics,
):
    await failed(ledger, 200)
    other = Operations(bus, OperationStore(ledger), publisher, metrics)
    replay = await begin(ledger, rate_per_second=20.0)

    started = time.monotonic()
    async with running(operations.step, other.step):
        await until(lambda: at_least(ledger, replay, 40), 20)
        took = time.monotonic() - started

    assert took >= 1.5, "40 at 20 a second, less what a pause may make up for"


async def test_an_erasure_that_is_stopped_forgets_whom_it_was_about(
    operations: Operations, ledger: Ledger
):
    with pytest.raises(Exception, match="operation_names_nobody_afterwards"):
        await begin(
            ledger, OperationKind.ERASE, target=RECIPIENT, state=OperationState.STOPPED
        )


def test_a_page_is_a_slice_of_a_second():
    assert [page_size(rate) for rate in (0.1, 5.0, 20.0, 9999.0, None)] == [
        *(1, 1, 4, 200, 200)
    ]
