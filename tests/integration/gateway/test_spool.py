"""Acceptance while Postgres is away: what is spooled, and what is answered."""

import io
import json
from collections import Counter
from random import Random
from typing import Any
from uuid import UUID

import aiohttp

from contracts import subjects
from contracts.keys import Role
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOBODYS,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.spooling import SPOOL, Drain, away, ids_of, statuses
from tests.integration.gateway.test_ingest import answers, ask, key_made
from tests.integration.scheduler.seeds import ids_on_bus, trace
from tests.servers import Stack

LATER = "2199-01-01T00:00:00Z"


async def test_what_is_accepted_without_the_ledger_is_answered_from_the_spool_until_moved(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    metadata = {"metadata": {"order": 7}, "subject": "s", "max_attempts": 3}
    async with away(servers, gateway):
        now = await gateway.post(SMS | metadata, Idempotency_Key="k")
        later = await gateway.post(SMS | {"scheduled_at": LATER})
        batch = await gateway.post({"notifications": [SMS] * 3}, BATCHES)
        responses = [now, later, batch]
        assert [response.status for response in responses] == [202] * 3
        now_id, later_id, batch_id = await ids_of(responses)
        assert now.headers["Location"] == f"{NOTIFICATIONS}/{now_id}"
        assert (await now.json())["status"] == "queued"
        assert (await later.json())["status"] == "pending"

        for response in (now, later):
            path = response.headers["Location"]
            seen = await gateway.get(path)
            assert (seen.status, await seen.json()) == (200, await response.json())
            assert (
                seen.headers["X-Correlation-ID"] == response.headers["X-Correlation-ID"]
            )
        assert await found(gateway, now_id) == [now_id]
        for path in (
            f"{NOTIFICATIONS}/{now_id}/trace",
            f"{NOTIFICATIONS}/{now_id}/events",
            f"{BATCHES}/{batch_id}",
            f"{NOTIFICATIONS}/{NOBODYS}",
            NOTIFICATIONS,
        ):
            assert await refused(gateway, path) == "/probs/dependency-unavailable"

    for path in (
        f"{NOTIFICATIONS}/{now_id}/trace",
        f"{NOTIFICATIONS}/{now_id}/events",
        f"{BATCHES}/{batch_id}",
        f"{BATCHES}/{batch_id}/events",
    ):
        assert await refused(gateway, path) == "/probs/dependency-unavailable", path
    assert (await gateway.get(now.headers["Location"])).status == 200
    assert await found(gateway, now_id) == [now_id]
    assert await found(gateway, str(NOBODYS)) == []
    cancel = await gateway.http.patch(f"{NOTIFICATIONS}/{now_id}/cancel")
    assert cancel.status == 503
    assert (await gateway.get(f"{NOTIFICATIONS}/{NOBODYS}")).status == 404

    await drain.until_empty()
    members = (await (await gateway.get(f"{BATCHES}/{batch_id}")).json())[
        "notifications"
    ]
    queued = {now_id, *(member["id"] for member in members)}
    assert len(members) == 3
    assert await statuses(ledger) == {
        **dict.fromkeys(queued, "queued"),
        later_id: "pending",
    }
    assert {str(id_) for id_ in await ids_on_bus(bus)} == queued
    assert await trace(ledger, UUID(now_id)) == ["created", "queued"]
    assert await trace(ledger, UUID(later_id)) == ["created", "pending"]
    seen = await (await gateway.get(now.headers["Location"])).json()
    was = await now.json()
    assert {**seen, "updated_at": was["updated_at"]} == was
    assert await gateway.count("outbox_group") == 0


async def found(gateway: RunningGateway, id_: str) -> list[str]:
    """Return what an operator finds by an id."""
    response = await gateway.get(f"/api/v1/ops/notifications?id={id_}")
    return [item["id"] for item in (await response.json()).get("items", ())]


async def refused(gateway: RunningGateway, path: str) -> str:
    response = await gateway.get(path)
    assert response.status == 503, (path, await response.text())
    assert int(response.headers["Retry-After"]) >= 1
    problem = await problem_of(response)
    return str(problem["type"])


async def test_another_tenants_spooled_notification_is_not_found(
    settings: MeshSettings, servers: Stack, bus: Bus, ledger: Ledger
) -> None:
    ours = await key_made(ledger, "acme", Role.SENDER)
    theirs = await key_made(ledger, "rival", Role.SENDER)
    async with running_gateway(settings, gateway_require_keys=True) as gateway:
        for headers in (ours, theirs):
            await gateway.get(f"{NOTIFICATIONS}/{NOBODYS}", **headers)
        async with away(servers, gateway):
            created = await gateway.post(**ours)
            path = created.headers["Location"]
            assert (await gateway.get(path, **ours)).status == 200
            assert (await gateway.get(path, **theirs)).status == 503
        assert (await gateway.get(path, **ours)).status == 200
        assert (await gateway.get(path, **theirs)).status == 404


async def test_keys_that_were_good_are_good_without_the_ledger_and_others_unknown(
    settings: MeshSettings, servers: Stack, bus: Bus, ledger: Ledger
) -> None:
    seen, unseen = [await key_made(ledger, "acme", Role.SENDER) for _ in range(2)]
    async with running_gateway(
        settings, gateway_require_keys=True, gateway_key_cache_seconds=0
    ) as gateway:
        assert (await gateway.post(**seen)).status == 202
        async with away(servers, gateway):
            assert (await gateway.post(**seen)).status == 202
            assert (await gateway.post(**unseen)).status == 503
            assert (await gateway.post()).status == 401
        assert (await gateway.post(**unseen)).status == 202


async def test_a_full_spool_says_so_and_promises_nothing(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    config = (await bus.js.stream_info(SPOOL)).config
    await bus.js.update_stream(config.evolve(max_bytes=4000))
    async with away(servers, gateway):
        responses = [await gateway.post() for _ in range(12)]
        accepted = [r for r in responses if r.status == 202]
        full = [r for r in responses if r.status == 503]
        assert accepted
        assert full
        assert len(accepted) + len(full) == 12
        for response in full:
            assert int(response.headers["Retry-After"]) >= 1
            assert (await problem_of(response))["type"] == "/probs/overloaded"
        refusals = "tocsin_spool_refusals_total"
        assert gateway.metric(refusals, because="full") == len(full)
    await drain.until_empty()

    assert set(await statuses(ledger)) == set(await ids_of(accepted))


async def test_a_batch_that_is_no_message_is_refused_and_a_large_one_is_compressed(
    gateway: RunningGateway, servers: Stack, bus: Bus, ledger: Ledger, drain: Drain
) -> None:
    def mail(content: str) -> dict[str, Any]:
        return {"channel": "email", "recipient": "a@b.example", "content": content}

    async def post(contents: list[str]) -> aiohttp.ClientResponse:
        body = json.dumps({"notifications": [mail(content) for content in contents]})
        return await gateway.http.post(
            BATCHES,
            data=io.BytesIO(body.encode()),
            headers={"Content-Type": "application/json"},
        )

    random = Random(7)
    async with away(servers, gateway):
        kept = await post(["word " * 1500] * 300)
        refused_ = await post([random.randbytes(4900).hex() for _ in range(600)])
        assert kept.status == 202
        assert refused_.status == 503
        assert "too large" in (await problem_of(refused_))["detail"]
    await drain.until_empty()

    assert Counter((await statuses(ledger)).values()) == {"queued": 300}


async def test_requests_over_the_bus_are_spooled_too(
    gateway: RunningGateway, servers: Stack, bus: Bus, ledger: Ledger, drain: Drain
) -> None:
    await answers(bus.nc)
    async with away(servers, gateway):
        key = {"Idempotency-Key": "k"}
        one = json.loads((await ask(bus.nc, headers=key)).data)
        again = json.loads((await ask(bus.nc, headers=key)).data)
        batch = json.loads(
            (
                await ask(bus.nc, subjects.CREATE_BATCH, {"notifications": [SMS, SMS]})
            ).data
        )
    assert one == again
    assert batch["size"] == 2
    await drain.until_empty()
    assert len(await statuses(ledger)) == 3


async def test_a_template_needs_the_ledger(
    gateway: RunningGateway, servers: Stack
) -> None:
    template = {"name": "t", "channel": "sms", "body": "Hello {{ name }}"}
    made = await (await gateway.post(template, "/api/v1/templates")).json()
    named = {
        "channel": "sms",
        "recipient": "+15555550001",
        "template_id": made["id"],
        "template_variables": {"name": "Ann"},
    }
    async with away(servers, gateway):
        response = await gateway.post(named)
        assert response.status == 503
        problem = await problem_of(response)
        assert problem["type"] == "/probs/dependency-unavailable"
    assert (await gateway.post(named)).status == 202
