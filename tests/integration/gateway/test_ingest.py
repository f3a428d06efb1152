import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.ids import new_id
from contracts.keys import Role, hash_key, new_key
from contracts.messages import StatusChanged, decode
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import SMS, RunningGateway, running_gateway
from tests.waiting import until

BATCH = {"notifications": [SMS, SMS | {"priority": "high"}]}


async def ask(
    nc: Client,
    subject: str = subjects.CREATE,
    body: Any = SMS,
    headers: Mapping[str, str] | None = None,
) -> Msg:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await nc.request(
        subject, payload, timeout=5, headers=dict(headers) if headers else None
    )


def error_of(answer: Msg) -> tuple[str, str]:
    """The code in the header and the problem in the body, which say the same."""
    assert answer.headers is not None
    problem = json.loads(answer.data)
    assert answer.headers["Nats-Service-Error"] == problem["title"]
    assert answer.headers["Nats-Service-Error-Code"] == str(problem["status"])
    assert answer.headers["Tocsin-Correlation-Id"] == problem["correlation_id"]
    return answer.headers["Nats-Service-Error-Code"], problem["type"]


async def key_made(ledger: Ledger, tenant: str, role: Role) -> dict[str, str]:
    key = new_key()
    await ledger.fetch(
        "INSERT INTO api_key (id, tenant, role, name, secret_hash, created_at)"
        " VALUES ($1, $2, $3, 'test', $4, now())",
        *(new_id(), tenant, role, hash_key(key)),
    )
    return {"Authorization": f"Bearer {key}"}


@pytest_asyncio.fixture
async def answering(gateway: RunningGateway, bus: Bus) -> RunningGateway:
    """A gateway whose endpoints on the bus are there."""
    await answers(bus.nc)
    return gateway


async def answers(nc: Client) -> None:
    async def listed() -> bool:
        try:
            info = await nc.request("$SRV.INFO.tocsin-gateway", timeout=1)
        except nats.errors.Error:
            return False
        return len(json.loads(info.data)["endpoints"]) == 4

    await until(listed)


@pytest_asyncio.fixture
async def with_keys(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings, gateway_require_keys=True) as gateway:
        await answers(bus.nc)
        yield gateway


@pytest.mark.usefixtures("answering")
async def test_a_request_on_the_bus_is_accepted_like_one_over_http(
    gateway: RunningGateway, bus: Bus
) -> None:
    changes = await bus.nc.subscribe(subjects.STATUS_ALL)
    answer = await ask(
        bus.nc, headers={"tocsin-correlation-id": "c-1", "traceparent": "not valid"}
    )
    created = json.loads(answer.data)

    assert answer.headers is not None
    assert answer.headers["Tocsin-Correlation-Id"] == "c-1"
    assert created["correlation_id"] == "c-1"
    over_http = await gateway.get(answer.headers["Location"])
    assert await over_http.json() == created
    change = decode((await changes.next_msg(5)).data)
    assert isinstance(change, StatusChanged)
    assert str(change.notification_id) == created["id"]


@pytest.mark.usefixtures("answering")
async def test_a_batch_on_the_bus(gateway: RunningGateway, bus: Bus) -> None:
    answer = await ask(bus.nc, subjects.CREATE_BATCH, BATCH)

    assert json.loads(answer.data)["size"] == 2
    assert await gateway.count() == 2


@pytest.mark.usefixtures("answering")
async def test_a_key_is_good_on_both_ways(gateway: RunningGateway, bus: Bus) -> None:
    body = json.dumps(SMS).encode()
    headers = {"Idempotency-Key": "once"}
    first = await gateway.http.post(
        "/api/v1/notifications",
        data=body,
        headers=headers | {"Content-Type": "application/json"},
    )
    again = await ask(bus.nc, body=body, headers=headers)
    other = await ask(bus.nc, body=SMS | {"content": "other"}, headers=headers)

    assert again.data == await first.read()
    assert again.headers is not None
    assert again.headers["Idempotent-Replay"] == "true"
    assert error_of(other) == ("409", "/probs/idempotency-key-mismatch")
    assert await gateway.count() == 1


WRONG: list[tuple[Any, dict[str, str], str]] = [
    (SMS | {"channel": "fax"}, {}, "invalid-channel"),
    (SMS | {"content": "x" * 161}, {}, "invalid-content"),
    (b"", {}, "malformed-body"),
    (b'{"channel":', {}, "malformed-body"),
    (b"\xff\xfe", {}, "malformed-body"),
    (SMS, {"Tocsin-Correlation-Id": "has spaces"}, "bad-request"),
    (SMS, {"Idempotency-Key": "x" * 256}, "bad-request"),
]


@pytest.mark.usefixtures("answering")
async def test_what_is_wrong_is_answered_with_its_problem(
    gateway: RunningGateway, bus: Bus
) -> None:
    for body, headers, slug in WRONG:
        answer = await ask(bus.nc, body=body, headers=headers)

        assert error_of(answer) == ("400", f"/probs/{slug}")
    assert await gateway.count() == 0


@pytest.mark.usefixtures("with_keys")
async def test_where_keys_are_asked_for_the_bus_asks_too(
    bus: Bus, ledger: Ledger
) -> None:
    sender = await key_made(ledger, "acme", Role.SENDER)
    reader = await key_made(ledger, "acme", Role.READER)

    assert error_of(await ask(bus.nc)) == ("401", "/probs/unauthorized")
    assert error_of(await ask(bus.nc, subjects.create("acme"))) == (
        "401",
        "/probs/unauthorized",
    )
    assert error_of(await ask(bus.nc, headers=reader)) == ("403", "/probs/forbidden")
    assert error_of(await ask(bus.nc, subjects.create("other"), headers=sender)) == (
        "403",
        "/probs/forbidden",
    )
    for subject in (subjects.CREATE, subjects.create("acme")):
        id_ = json.loads((await ask(bus.nc, subject, headers=sender)).data)["id"]
        [row] = await ledger.fetch("SELECT tenant FROM notification WHERE id = $1", id_)
        assert row["tenant"] == "acme"


async def test_a_key_pays_on_the_bus_as_over_http(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    sender = await key_made(ledger, "acme", Role.SENDER)
    own: dict[str, Any] = {"gateway_require_keys": True, "gateway_rate_limit": 1}
    async with running_gateway(settings, **own):
        await answers(bus.nc)
        first = await ask(bus.nc, headers=sender)
        second = await ask(bus.nc, headers=sender)

    assert "id" in json.loads(first.data)
    assert error_of(second) == ("429", "/probs/rate-limited")
    assert second.headers is not None
    assert int(second.headers["Retry-After"]) >= 1


@pytest.mark.usefixtures("answering")
async def test_without_keys_there_is_one_tenant_on_the_bus_as_over_http(
    bus: Bus,
) -> None:
    assert "id" in json.loads((await ask(bus.nc, subjects.create("default"))).data)
    assert error_of(await ask(bus.nc, subjects.create("acme"))) == (
        "403",
        "/probs/forbidden",
    )


async def test_the_subject_is_believed_where_the_bus_guards_it(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    own: dict[str, Any] = {"gateway_require_keys": True, "gateway_trust_subjects": True}
    async with running_gateway(settings, **own):
        await answers(bus.nc)
        answer = await ask(bus.nc, subjects.create("acme"))
        no_tenant = await ask(bus.nc, f"tocsin.{'x' * 65}.notifications.create")
        unnamed = await ask(bus.nc)

    [row] = await ledger.fetch("SELECT tenant FROM notification")
    assert row["tenant"] == "acme"
    assert "id" in json.loads(answer.data)
    assert error_of(no_tenant) == ("400", "/probs/bad-request")
    assert error_of(unnamed) == ("401", "/probs/unauthorized")


async def test_of_two_gateways_one_answers(
    settings: MeshSettings, gateway: RunningGateway, bus: Bus
) -> None:
    other = MeshSettings.model_validate(
        settings.model_dump(mode="json") | {"instance": "other"}
    )
    async with running_gateway(other):

        async def all_listed() -> bool:
            services = await nats_services(bus.nc)
            return [len(s["endpoints"]) for s in services] == [4, 4]

        await until(all_listed)
        await asyncio.gather(*(ask(bus.nc) for _ in range(20)))

    assert await gateway.count() == 20


async def nats_services(nc: Client) -> list[dict[str, Any]]:
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    await nc.publish("$SRV.INFO.tocsin-gateway", reply=inbox)
    found: list[dict[str, Any]] = []
    try:
        while len(found) < 2:
            found.append(json.loads((await replies.next_msg(0.5)).data))
    except TimeoutError:
        pass
    await replies.unsubscribe()
    return found


async def test_requests_in_work_are_answered_before_the_gateway_goes(
    settings: MeshSettings, bus: Bus, dsn: str
) -> None:
    async with running_gateway(settings) as gateway:
        await answers(bus.nc)
        async with blocked_ledger(dsn) as blocked:
            asked = [asyncio.create_task(ask(bus.nc)) for _ in range(5)]
            await blocked.somebody_waits()
            gateway.service.stopping.set()
    created = [json.loads(answer.data) for answer in await asyncio.gather(*asked)]

    assert len({notification["id"] for notification in created}) == 5


async def test_the_ledger_away_is_said_on_the_bus(
    settings: MeshSettings, bus: Bus, answering: RunningGateway
) -> None:
    await answering.ledger.fetch("ALTER TABLE notification RENAME TO gone")
    answer = await ask(bus.nc)

    assert error_of(answer) == ("503", "/probs/dependency-unavailable")
    assert answer.headers is not None
    assert answer.headers["Retry-After"] == "1"
