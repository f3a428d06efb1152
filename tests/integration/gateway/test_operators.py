"""What operators change: it takes effect, and what cannot be changed is named."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts import topology
from contracts.channels import Channel, Lane, Priority
from contracts.controls import BreakerOrder, RateLimit
from contracts.keys import Role
from contracts.mesh import ProviderReading
from contracts.settings import MeshSettings
from contracts.topology import NOTIFY
from ops import keys
from ops.client import Operator, Refused
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import Endpoint, running_endpoint
from tests.integration.dispatcher.running import (
    dispatcher_settings,
    have_status,
    row_of,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import (
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.operators import (
    OPS,
    SMS_RATE,
    WHY,
    control,
    entries,
    operator_at,
    say,
    state_of,
)
from tests.servers import Nats
from tests.waiting import until


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


async def is_pulled(bus: Bus, priority: Priority) -> bool:
    name = topology.lane_consumer(Lane(Channel.SMS, priority)).name
    return bool((await bus.js.consumer_info(NOTIFY.name, name)).num_waiting)


async def test_a_pause_stops_a_lane_until_it_is_resumed(
    settings: MeshSettings, ledger: Ledger, bus: Bus, endpoint: Endpoint, ada: Operator
) -> None:
    ours = dispatcher_settings(settings, endpoint.url)
    async with running_dispatcher(ours):
        await until(lambda: is_pulled(bus, Priority.LOW), 20)
        await ada.pause(Channel.SMS, Priority.LOW, reason=WHY)

        async def is_let_alone() -> bool:
            return not await is_pulled(bus, Priority.LOW)

        await until(is_let_alone, 20)
        held = await seed_notifications(ledger, bus, 3, priority=Priority.LOW)
        moving = await seed_notifications(ledger, bus, 3)
        await until(lambda: have_status(ledger, moving, "delivered"), 20)
        assert {(await row_of(ledger, id_))["attempts"] for id_ in held} == {0}
        lanes = (await ada.lanes()).value.items
        [low] = [lane for lane in lanes if lane.paused]
        assert (low.channel, low.priority, low.queued) == ("sms", "low", 3)
        assert (low.paused_as, low.paused_by, low.paused_why) == ("sms.low", "Ada", WHY)
        await ada.resume(Channel.SMS, Priority.LOW, reason="they are well again")
        await until(lambda: have_status(ledger, held, "delivered"), 20)


async def test_a_limit_changes_the_pace_and_can_be_undone_by_what_the_audit_says(
    settings: MeshSettings, ledger: Ledger, bus: Bus, endpoint: Endpoint, ada: Operator
) -> None:
    ours = dispatcher_settings(settings, endpoint.url, dispatcher_channel_rate=5)
    await seed_notifications(ledger, bus, 400)
    async with running_dispatcher(ours) as dispatcher:
        await until(lambda: len(endpoint.received) >= 3, 20)
        assert len(endpoint.received) < 200, "five a second is not slow enough to see"
        first = (await ada.limit_channel(Channel.SMS, 5, reason="careful")).value
        wrong = (await ada.limit_channel(Channel.SMS, 0, reason="hurry")).value
        await until(lambda: len(endpoint.received) == 400, 20)
        assert first.details == {"per_second": 5, "previous": None}
        previous = wrong.details["previous"]
        assert (previous["per_second"], previous["reason"]) == (5, "careful")
        await ada.limit_channel(Channel.SMS, previous["per_second"], reason="undone")
        await ada.limit_channel(Channel.EMAIL, 0, reason="to compare")
        email, sms = (await ada.limits()).value.items
        assert (email.target, email.per_second) == ("channel.email", 0)
        assert (sms.target, sms.per_second, sms.by) == ("channel.sms", 5, "Ada")

        async def is_obeyed() -> bool:
            limits = (await dispatcher.service.heartbeat.state()).limits
            return limits == {Channel.SMS: 5, Channel.PUSH: 5}

        await until(is_obeyed, 20)
        # what was pulled while nothing limited it still comes at once
        slow = await seed_notifications(ledger, bus, 1000)
        fast = await seed_notifications(ledger, bus, 1000, channel=Channel.EMAIL)
        await until(lambda: have_status(ledger, fast, "delivered"), 60)
        assert not await have_status(ledger, slow[-500:], "delivered")
        for channel in (Channel.SMS, Channel.EMAIL):
            await ada.clear_channel_limit(channel, reason="done")
        assert (await ada.limits()).value.items == []


async def test_a_breaker_is_held_open_until_it_is_reset(
    settings: MeshSettings, ledger: Ledger, bus: Bus, endpoint: Endpoint, ada: Operator
) -> None:
    ours = dispatcher_settings(settings, endpoint.url)
    async with running_dispatcher(ours):

        async def is_told() -> bool:
            return bool((await ada.breakers()).value.items)

        await until(is_told, 20)
        await ada.order_breaker("webhook", BreakerOrder.OPEN, reason=WHY)

        async def is_open() -> bool:
            [webhook] = (await ada.breakers()).value.items
            assert webhook.override is not None
            assert (webhook.override.order, webhook.override.by) == ("open", "Ada")
            return webhook.forced and webhook.breaker == "open"

        await until(is_open, 20)

        async def is_let_alone() -> bool:
            return not await is_pulled(bus, Priority.NORMAL)

        await until(is_let_alone, 20)
        ids = await seed_notifications(ledger, bus, 3)
        moved = await seed_notifications(ledger, bus, 1, channel=Channel.EMAIL)
        assert await have_status(ledger, [*ids, *moved], "queued")
        await ada.order_breaker("webhook", BreakerOrder.RESET, reason="it is back")
        await until(lambda: have_status(ledger, [*ids, *moved], "delivered"), 20)


async def test_the_same_key_changes_once(
    bus: Bus, ledger: Ledger, gateway: RunningGateway, ada: Operator
) -> None:
    first = await ada.limit_channel(Channel.SMS, 50, reason=WHY, key="k")
    await ada.limit_channel(Channel.SMS, 70, reason=WHY)
    again = await ada.limit_channel(Channel.SMS, 50, reason=WHY, key="k")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.body == first.body
    assert len(await entries(ledger)) == 2
    held = await control(bus, SMS_RATE)
    assert isinstance(held, RateLimit)
    assert held.per_second == 70
    with pytest.raises(Refused, match="idempotency-key-mismatch"):
        await ada.limit_channel(Channel.SMS, 60, reason=WHY, key="k")
    assert len(await entries(ledger)) == 2


async def test_operators_at_several_gateways_each_know_what_was_before_them(
    settings: MeshSettings, bus: Bus, ledger: Ledger, ada: Operator
) -> None:
    other = settings.model_copy(update={"instance": "other"})
    async with (
        running_gateway(other) as second,
        operator_at(second, "Grace") as grace,
    ):
        await asyncio.gather(
            *(
                operator.limit_channel(Channel.SMS, number + 1, reason=WHY)
                for number, operator in enumerate([ada, grace] * 8)
            )
        )
    done = [entry.details for entry in await entries(ledger)]
    before = [d["previous"] and d["previous"]["per_second"] for d in done]
    held = await control(bus, SMS_RATE)
    assert isinstance(held, RateLimit)

    # a chain: nobody's value is lost, and none was overwritten by two
    assert len(done) == 16
    assert sorted(d["per_second"] for d in done) == [*range(1, 17)]
    assert sorted([b for b in before if b] + [held.per_second]) == [*range(1, 17)]


async def test_while_the_bus_is_away_nothing_is_changed_and_nothing_half_done(
    gateway: RunningGateway, ledger: Ledger, nats_server: Nats, ada: Operator
) -> None:
    await nats_server.server.crash()
    await until(lambda: not gateway.service.bus.nc.is_connected, 20)
    for path in ("lanes/sms/pause", "lanes/sms/low/pause"):
        response = await gateway.post({"reason": WHY}, f"{OPS}/{path}")
        problem = await problem_of(response)
        assert problem["type"] == "/probs/dependency-unavailable"
        assert "nothing was changed" in problem["detail"]
        assert int(response.headers["Retry-After"]) >= 1
    for path in ("lanes", "breakers", "limits", "services"):
        assert (await gateway.get(f"{OPS}/{path}")).status == 503, path
    assert (await gateway.get(f"{OPS}/audit")).status == 200
    assert await entries(ledger) == []
    await nats_server.server.start()
    await until(lambda: gateway.service.bus.nc.is_connected, 20)
    assert not [lane for lane in (await ada.lanes()).value.items if lane.paused]


async def test_the_mesh_is_looked_after_by_keys_of_its_house_alone(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with running_gateway(
        settings, gateway_require_keys=True, gateway_house_tenant="acme"
    ) as gateway:
        ours, _ = await keys.create("acme", "on-call", Role.OPERATOR)
        theirs, _ = await keys.create("other", "on-call", Role.ADMIN)
        async with (
            operator_at(gateway, "Ada", ours) as ada,
            operator_at(gateway, "Eve", theirs) as eve,
        ):
            refused = [
                eve.pause(Channel.SMS, reason=WHY),
                eve.limit_channel(Channel.SMS, 0, reason=WHY),
                eve.lanes(),
                eve.services(),
                eve.schedule(),
            ]
            for change in refused:
                with pytest.raises(Refused, match="keys of the tenant acme") as error:
                    await change
                assert error.value.problem.status == 403
            paused = (await ada.pause(Channel.SMS, reason=WHY)).value
            await gateway.post(
                {"all": True, "reason": "theirs"},
                "/api/v1/dead-letters/replay",
                Authorization=f"Bearer {theirs}",
            )
            assert [e.reason for e in (await eve.audit()).value.items] == ["theirs"]
            assert [e.reason for e in (await ada.audit()).value.items] == [
                "theirs",
                WHY,
            ]
    assert paused.who.startswith("Ada, on-call (")


async def test_what_is_wrong_is_named(gateway: RunningGateway, bus: Bus) -> None:
    acme = ProviderReading(name="acme-sms")
    await say(bus, gateway, state_of("dispatcher", "one", providers=[acme]))
    why = {"reason": WHY}
    for method, path, body, status, pointer, words in (
        ("POST", "lanes/sms/pause", {}, 400, "/reason", "1 to 500 characters"),
        ("POST", "lanes/sms/pause", {"reason": " "}, 400, "/reason", "1 to 500"),
        ("POST", "lanes/sms/pause", {"reason": "x" * 501}, 400, "/reason", "1 to 500"),
        ("POST", "lanes/sms/pause", {"reason": 7}, 400, "/reason", "expected"),
        ("POST", "lanes/fax/pause", why, 404, None, "sms, email, push"),
        ("POST", "lanes/sms/urgent/pause", why, 404, None, "high, normal, low"),
        ("POST", "breakers/nobody", {**why, "order": "open"}, 404, None, "acme-sms"),
        ("POST", "breakers/acme-sms", why, 400, "/order", "open, probe, reset"),
        ("PUT", "limits/channels/sms", why, 400, "/per_second", "between 0"),
        ("PUT", "limits/channels/sms", {**why, "per_second": -1}, *_NOT_A_PACE),
        ("PUT", "limits/channels/sms", {**why, "per_second": 1e9}, *_NOT_A_PACE),
        ("PUT", "limits/providers/x", {**why, "per_second": 1}, 404, None, "acme-sms"),
        ("DELETE", "limits/providers/x", why, 404, None, "acme-sms"),
    ):
        response = await gateway.http.request(method, f"{OPS}/{path}", json=body)
        problem = await problem_of(response)
        assert response.status == status, path
        assert words in problem["detail"], path
        found = [error["pointer"] for error in problem.get("errors", [])]
        assert found == ([] if pointer is None else [pointer]), path
    for query in ("before=1", "limit=0", "limit=201", "limit=x", "action=lane.lost"):
        response = await gateway.get(f"{OPS}/audit?{query}")
        assert response.status == 400, query
        assert query.partition("=")[0] in (await problem_of(response))["detail"]


_NOT_A_PACE = (400, "/per_second", "between 0")


async def test_a_lane_of_a_paused_channel_cannot_be_resumed_alone(
    ada: Operator, ledger: Ledger
) -> None:
    await ada.pause(Channel.SMS, reason=WHY)
    with pytest.raises(Refused, match="the whole channel sms is paused"):
        await ada.resume(Channel.SMS, Priority.LOW, reason=WHY)
    again = (await ada.resume(Channel.EMAIL, reason="to be sure")).value

    assert again.details == {"previous": None}
    lanes = (await ada.lanes()).value.items
    assert {lane.channel for lane in lanes if lane.paused} == {"sms"}
    assert {lane.paused_as for lane in lanes if lane.paused} == {"sms"}
