"""What operators change is on record with who and why, and is announced."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from contracts import controls
from contracts.channels import Channel, Priority
from contracts.controls import BreakerOrder, Pause
from contracts.ids import new_id
from contracts.keys import Role
from contracts.mesh import ProviderReading
from contracts.messages import OperatorActed
from contracts.oversight import Action, AuditEntry, Effect
from contracts.settings import MeshSettings
from gateway.audit_store import AuditStore, Deed
from ops import keys
from ops.client import Operator
from ops.runtime.bus import Bus
from ops.runtime.controls import change_control, set_control
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import blocked_audit
from tests.integration.gateway.gateways import (
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.operators import (
    OPS,
    SMS_LOW,
    SMS_RATE,
    WHY,
    announcements,
    control,
    entries,
    say,
    state_of,
)
from tests.integration.gateway.processes import logged, process
from tests.servers import Nats
from tests.waiting import until


async def test_every_change_is_on_record_and_announced_once_it_is_done(
    gateway: RunningGateway, bus: Bus, ledger: Ledger, ada: Operator
) -> None:
    webhook = ProviderReading(name="webhook")
    await say(bus, gateway, state_of("dispatcher", "one", providers=[webhook]))
    async with announcements(bus) as heard:
        answers = [
            await ada.pause(Channel.SMS, reason=WHY),
            await ada.resume(Channel.SMS, reason=WHY),
            await ada.pause(Channel.SMS, Priority.LOW, reason=WHY),
            await ada.resume(Channel.SMS, Priority.LOW, reason=WHY),
            await ada.order_breaker("webhook", BreakerOrder.PROBE, reason=WHY),
            await ada.limit_channel(Channel.SMS, 50, reason=WHY),
            await ada.limit_provider("webhook", 20.5, reason=WHY),
            await ada.clear_channel_limit(Channel.SMS, reason=WHY),
            await ada.clear_provider_limit("webhook", reason=WHY),
        ]
        await until(lambda: len(heard) == len(answers))
    given = [answer.value for answer in answers]

    assert [(entry.action, entry.target) for entry in given] == [
        ("lane.paused", "sms"),
        ("lane.resumed", "sms"),
        ("lane.paused", "sms.low"),
        ("lane.resumed", "sms.low"),
        ("breaker.ordered", "webhook"),
        ("limit.set", "channel.sms"),
        ("limit.set", "provider.webhook"),
        ("limit.cleared", "channel.sms"),
        ("limit.cleared", "provider.webhook"),
    ]
    assert {(e.who, e.reason, e.tenant, e.effect) for e in given} == {
        ("Ada", WHY, "default", Effect.DONE)
    }
    assert await entries(ledger) == given
    assert heard == [
        OperatorActed(
            id=e.id,
            action=e.action,
            target=e.target,
            who=e.who,
            reason=e.reason,
            at=e.at,
            tenant=e.tenant,
        )
        for e in given
    ]
    assert (
        gateway.metric(
            "tocsin_operator_actions_total", action="lane.paused", effect="done"
        )
        == 2
    )
    for key in (SMS_LOW, SMS_RATE, controls.pause_key(Channel.SMS)):
        assert await control(bus, key) is None


async def test_a_change_that_the_bus_does_not_confirm_is_found_out_about_later(
    settings: MeshSettings, ledger: Ledger, bus: Bus, nats_server: Nats, dsn: str
) -> None:
    async with running_gateway(settings, gateway_audit_seconds=0.5) as gateway:
        async with blocked_audit(dsn, "INSERT") as blocked:
            path = f"{OPS}/lanes/sms/low/pause"
            pausing = asyncio.create_task(gateway.post({"reason": WHY}, path))
            await blocked.somebody_waits()
            nats_server.server.pause()
        problem = await problem_of(await pausing)
        [entry] = await entries(ledger)
        assert entry.effect == Effect.PENDING
        nats_server.server.resume()

        async def is_settled() -> bool:
            [entry] = await entries(ledger)
            return entry.effect != Effect.PENDING

        await until(is_settled, 30)
    [entry] = await entries(ledger)

    assert problem["type"] == "/probs/dependency-unavailable"
    assert "the audit will say" in problem["detail"]
    is_paused = isinstance(await control(bus, SMS_LOW), Pause)
    assert entry.effect == (Effect.DONE if is_paused else Effect.FAILED)


async def test_what_a_gateway_had_set_when_it_died_is_settled_as_done(
    settings: MeshSettings,
    environment: dict[str, str],
    ledger: Ledger,
    bus: Bus,
    dsn: str,
) -> None:
    async with blocked_audit(dsn, "UPDATE") as blocked:
        async with process(environment, gateway_port=0) as started:
            port = (await logged(started, "gateway.listening"))["port"]
            pausing = asyncio.create_task(_pause_at(port))
            await blocked.somebody_waits()
            assert isinstance(await control(bus, SMS_LOW), Pause)
            [entry] = await entries(ledger)
            assert entry.effect == Effect.PENDING
            started.kill()
            await asyncio.gather(pausing, return_exceptions=True)
        await blocked.break_connections()
    async with (
        announcements(bus) as heard,
        running_gateway(settings, gateway_audit_seconds=0.5) as gateway,
    ):
        await until(lambda: len(heard) == 1, 30)
        page = await (await gateway.get(f"{OPS}/audit")).json()

    assert [item["effect"] for item in page["items"]] == ["done"]
    assert [acted.id for acted in heard] == [entry.id]


async def _pause_at(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"reason": "x"}'
    writer.write(
        b"POST /api/v1/ops/lanes/sms/low/pause HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    await writer.drain()
    await reader.read()
    writer.close()


async def test_an_entry_whose_control_was_never_set_is_settled_as_failed(
    settings: MeshSettings, ledger: Ledger, bus: Bus
) -> None:
    store = AuditStore(ledger)
    deed = Deed("default", Action.LANE_PAUSED, "sms.low", "Ada", WHY)
    before = await set_control(bus, SMS_LOW, Pause(by="Grace", at=datetime.now(UTC)))
    lost = await store.begin(deed, {}, key=SMS_LOW, revision=before)
    set_by_another = await store.begin(deed, {}, key=SMS_LOW, revision=before)
    await change_control(bus, SMS_LOW, None, over=before, entry=set_by_another.id)
    async with (
        announcements(bus) as heard,
        running_gateway(settings, gateway_audit_seconds=0.5),
    ):

        async def effects() -> bool:
            told = {entry.id: entry.effect for entry in await entries(ledger)}
            return told == {lost.id: Effect.FAILED, set_by_another.id: Effect.DONE}

        await until(effects, 30)
        await until(lambda: heard)
    assert [acted.id for acted in heard] == [set_by_another.id]
    assert await control(bus, SMS_LOW) is None, "a late pause was carried out"


async def test_the_audit_comes_newest_first_in_pages_that_hold_each_once(
    ledger: Ledger, ada: Operator
) -> None:
    for number in range(5):
        await ada.limit_channel(Channel.SMS, number, reason=WHY)
        await ada.pause(Channel.SMS, reason=WHY)
    seen: list[AuditEntry] = []
    cursor: UUID | None = None
    sizes = []
    while True:
        page = (await ada.audit(limit=4, before=cursor)).value
        seen += page.items
        sizes.append(len(page.items))
        cursor = page.next_cursor
        if cursor is None:
            break
    limits = (await ada.audit(action="limit.set")).value.items

    assert sizes == [4, 4, 2]
    assert seen == (await entries(ledger))[::-1]
    assert [entry.details["per_second"] for entry in limits] == [4, 3, 2, 1, 0]


async def test_letters_erasures_and_cancels_are_on_record_and_announced_too(
    gateway: RunningGateway, bus: Bus, ledger: Ledger, ada: Operator
) -> None:
    id_ = (await gateway.create())["id"]
    async with announcements(bus) as heard:
        name = {"Tocsin_Operator": "Ada"}
        letters = "/api/v1/dead-letters"
        replay = await gateway.post(
            {"all": True, "reason": "it is back"}, f"{letters}/replay", **name
        )
        discard = await gateway.post(
            {"all": True, "reason": "old"}, f"{letters}/discard", **name
        )
        erase = await gateway.post(
            {"recipient": "a@b.c", "reason": "asked by a@b.c"},
            "/api/v1/privacy/erasures",
            **name,
        )
        operation = (await replay.json())["id"]
        for _ in range(2):  # the second one stops nothing
            await gateway.http.delete(f"{letters}/operations/{operation}")
        await ada.cancel(UUID(id_), reason="sent by mistake")
        await until(lambda: len(heard) == 5)
    told = [(acted.action, acted.target, acted.reason) for acted in heard]

    assert told == [
        ("letters.replayed", operation, "it is back"),
        ("letters.discarded", (await discard.json())["id"], "old"),
        ("recipient.erased", (await erase.json())["id"], "asked by [erased]"),
        ("operation.stopped", operation, ""),
        ("notification.cancelled", id_, "sent by mistake"),
    ]
    assert [(e.action, e.target, e.reason) for e in await entries(ledger)] == told
    assert [acted.who for acted in heard] == ["Ada", "Ada", "Ada", "anonymous", "Ada"]


async def test_a_cancel_by_a_sender_is_on_no_record(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with running_gateway(settings, gateway_require_keys=True) as gateway:
        for role, recorded in ((Role.SENDER, 0), (Role.OPERATOR, 1)):
            key, entry = await keys.create("acme", "on-call", role)
            bearer = {"Authorization": f"Bearer {key}"}
            made = await gateway.post(**bearer)
            path = f"{NOTIFICATIONS}/{(await made.json())['id']}/cancel"
            response = await gateway.http.patch(path, headers=bearer)
            assert response.status == 200
            assert len(await entries(ledger)) == recorded
    [cancelled] = await entries(ledger)
    assert (cancelled.tenant, cancelled.who) == ("acme", f"on-call ({entry.id})")


async def test_who_acts_is_named_in_words_that_can_be_read(
    gateway: RunningGateway, ledger: Ledger, ada: Operator
) -> None:
    for name in ("", " ", "x" * 101, "tab\there"):
        response = await gateway.post(
            {"reason": WHY}, f"{OPS}/lanes/sms/pause", Tocsin_Operator=name
        )
        assert "Tocsin-Operator" in (await problem_of(response))["detail"], repr(name)
    await gateway.post({"reason": WHY}, f"{OPS}/lanes/sms/pause", Tocsin_Operator="Zoë")
    await gateway.post({"reason": WHY}, f"{OPS}/lanes/sms/pause")
    assert [entry.who for entry in await entries(ledger)] == ["Zoë", "anonymous"]


async def test_the_audit_is_kept_as_it_was_written(
    ledger: Ledger, ada: Operator
) -> None:
    await ada.pause(Channel.SMS, reason=WHY)
    for statement in (
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit SET who = 'nobody'",
        "UPDATE audit SET effect = 'failed'",
        f"UPDATE audit SET id = '{new_id()}'",
    ):
        with pytest.raises(asyncpg.RaiseError, match="audit"):
            await ledger.fetch(statement)
    assert [entry.who for entry in await entries(ledger)] == ["Ada"]
