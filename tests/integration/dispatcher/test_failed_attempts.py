"""What becomes of notifications when an attempt fails, and what is kept of why."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
import structlog

from contracts import subjects, topology
from contracts.settings import MeshSettings
from dispatcher.settings import DispatcherSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import Endpoint, Gate, Received, Reply
from tests.integration.dispatcher.running import (
    bus_is_empty,
    dead_letters,
    details_of,
    dispatcher_settings,
    have_status,
    messages_on_bus,
    row_of,
    running_dispatcher,
    statuses,
    trace_of,
)
from tests.integration.factories import seed_notifications
from tests.waiting import until


async def test_a_transient_failure_is_tried_again(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda received: Reply(
        503 if received.attempt == 1 else 202, "busy"
    )
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "delivered"))
        await until(lambda: bus_is_empty(bus))

    assert endpoint.keys == [str(id_), str(id_)]
    assert await trace_of(ledger, id_) == [
        *("created", "queued", "processing", "retrying", "processing", "delivered")
    ]
    [retrying] = await details_of(ledger, id_, "retrying")
    assert retrying["outcome"] == "transient"
    assert retrying["words"] == "busy"
    assert datetime.fromisoformat(retrying["retry_at"])
    row = await row_of(ledger, id_)
    assert (row["attempts"], row["failure_class"], row["next_retry_at"]) == (
        *(2, None, None),
    )


async def test_what_was_taken_and_not_answered_in_time_is_sent_again_under_its_key(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_TIMEOUT_SECONDS", "0.5")
    gate = Gate()
    endpoint.answer = lambda received: (
        gate(received) if received.attempt == 1 else Reply()
    )
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "delivered"))
        gate.opened.set()

    assert endpoint.keys == [str(id_), str(id_)]
    assert (await row_of(ledger, id_))["attempts"] == 2
    [retrying] = await details_of(ledger, id_, "retrying")
    assert (retrying["outcome"], retrying["code"]) == ("transient", "timeout")


async def test_a_permanent_failure_ends_in_a_dead_letter_and_an_advisory(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda _: Reply(422, '{"error":"no such number"}')
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))
        await until(lambda: bus_is_empty(bus))

    assert len(endpoint.received) == 1
    assert await trace_of(ledger, id_) == ["created", "queued", "processing", "failed"]
    row = await row_of(ledger, id_)
    assert row["failure_class"] == "permanent"
    assert row["failure_reason"] == '422: {"error":"no such number"}'
    [letter] = await dead_letters(ledger)
    assert letter["notification_id"] == id_
    assert (letter["sequence"], letter["attempts"]) == (4, 1)
    assert letter["published_at"] is None
    advisory = await bus.js.get_last_msg(
        topology.ADVISORY.name, f"{subjects.MSG_TERMINATED}.NOTIFY.sms-normal"
    )
    assert json.loads(advisory.data or b"")["reason"] == f"{id_} permanent"


@pytest.mark.parametrize(("status", "reason"), [(500, "transient"), (429, "throttled")])
async def test_a_notification_out_of_attempts_fails_for_its_last_reason(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    endpoint: Endpoint,
    status: int,
    reason: str,
) -> None:
    endpoint.answer = lambda _: Reply(status, "")
    [id_] = await seed_notifications(ledger, bus, 1, max_attempts=2)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))
        await until(lambda: bus_is_empty(bus))

    row = await row_of(ledger, id_)
    assert (row["attempts"], row["failure_class"]) == (2, reason)
    assert len(await dead_letters(ledger)) == 1
    assert len(endpoint.received) == 2


async def test_a_long_wait_leaves_the_bus_and_keeps_a_due_time(
    ledger: Ledger,
    bus: Bus,
    settings: MeshSettings,
    endpoint: Endpoint,
    tmp_path: Path,
) -> None:
    patient = tmp_path / "retries.toml"
    patient.write_text(
        "[default]\ndelays_seconds = [600]\nbus_at_most_seconds = 0.001\n"
    )
    endpoint.answer = lambda _: Reply(500, "")
    [id_] = await seed_notifications(ledger, bus, 1)
    ours = dispatcher_settings(
        settings, endpoint.url, dispatcher_retries_file=str(patient)
    )
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "retrying"))
        await until(lambda: bus_is_empty(bus))

    row = await row_of(ledger, id_)
    assert row["queued_at"] is None
    assert row["due_at"] == row["next_retry_at"] > datetime.now(UTC)


async def test_a_throttled_attempt_waits_as_long_as_the_provider_asked(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda received: Reply(
        429 if received.attempt == 1 else 202, headers={"Retry-After": "1"}
    )
    patient = ours.dispatcher_retries_file
    patient.write_text("[default]\ndelays_seconds = [0.5]\n")
    [id_] = await seed_notifications(ledger, bus, 1)
    begun = datetime.now(UTC)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "delivered"))

    row = await row_of(ledger, id_)
    assert row["delivered_at"] - begun >= timedelta(seconds=1)
    assert (await details_of(ledger, id_, "retrying"))[0]["outcome"] == "throttled"


async def test_what_a_provider_echoes_is_not_kept(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    def echo(received: Received) -> Reply:
        return Reply(400, f"cannot send '{received.raw.decode()}'")

    endpoint.answer = echo
    [id_] = await seed_notifications(
        *(ledger, bus, 1), recipient="+15555550199", content="Your code is 482913."
    )
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))

    kept = json.dumps(
        [
            (await row_of(ledger, id_))["failure_reason"],
            await details_of(ledger, id_, "failed"),
            [letter["reason"] for letter in await dead_letters(ledger)],
        ]
    )
    assert "cannot send" in kept
    for secret in ("5555550199", "482913", "Your code"):
        assert secret not in kept


async def test_a_bug_in_a_provider_spends_no_attempt(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    monkeypatch: Any,
) -> None:
    raised = asyncio.Event()

    async def broken(*_: object) -> None:
        raised.set()
        raise RuntimeError("someone@example.com broke it")

    monkeypatch.setattr("dispatcher.providers.webhook.WebhookProvider.send", broken)
    [id_] = await seed_notifications(ledger, bus, 1)
    async with running_dispatcher(ours):
        await until(raised.is_set)
        await until(lambda: have_status(ledger, [id_], "queued"))

    row = await row_of(ledger, id_)
    assert (row["attempts"], row["sequence"]) == (0, 4)
    assert row["queued_at"] is not None
    assert await messages_on_bus(bus) == 1
    details = (await details_of(ledger, id_, "queued"))[-1]
    assert (details["outcome"], details["code"]) == ("ours", "RuntimeError")


async def test_a_trace_has_no_gaps_whatever_the_provider_says(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    rng = Random(7)
    endpoint.answer = lambda _: Reply(rng.choice([202, 202, 422, 429, 500, 503]))
    ids = await seed_notifications(ledger, bus, 200)
    async with running_dispatcher(ours):
        await until(lambda: all_final(ledger, ids), timeout_seconds=20)
        await until(lambda: bus_is_empty(bus))

    traces = await ledger.fetch(
        "SELECT n.sequence AS changes, array_agg(e.sequence ORDER BY e.id) AS traced,"
        " n.status = (array_agg(e.event ORDER BY e.id DESC))[1] AS agrees"
        " FROM notification AS n JOIN notification_event AS e ON e.notification_id = n.id"
        " GROUP BY n.id, n.sequence, n.status"
    )
    assert len(traces) == 200
    for trace in traces:
        assert trace["traced"] == [*range(1, trace["changes"] + 1)]
        assert trace["agrees"]
    failed = [id_ for id_ in ids if (await row_of(ledger, id_))["status"] == "failed"]
    letters = [letter["notification_id"] for letter in await dead_letters(ledger)]
    assert sorted(letters) == sorted(failed)


async def all_final(ledger: Ledger, ids: Sequence[UUID]) -> bool:
    return await statuses(ledger, ids) <= {"delivered", "failed"}


async def test_no_log_line_names_a_recipient_or_a_body(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, endpoint: Endpoint
) -> None:
    def echo(received: Received) -> Reply:
        return Reply([500, 429, 400][received.attempt - 1], received.raw.decode())

    endpoint.answer = echo
    with structlog.testing.capture_logs() as logs:
        [id_] = await seed_notifications(
            *(ledger, bus, 1), recipient="+15555550177", content="Your code is 482913."
        )
        async with running_dispatcher(ours):
            await until(lambda: have_status(ledger, [id_], "failed"))

    assert len([entry for entry in logs if entry["event"] == "attempt.finished"]) == 3
    for secret in ("5555550177", "482913", "Your code"):
        assert secret not in repr(logs)
