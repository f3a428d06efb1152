"""Invariant 9 at the REST door: nobody sees what is not theirs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from contracts.keys import Role
from contracts.settings import MeshSettings
from ops import keys
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.waiting import until


@pytest_asyncio.fixture
async def gateway(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> AsyncIterator[RunningGateway]:
    """A gateway that asks for keys and forgets them quickly."""
    async with running_gateway(
        settings,
        gateway_require_keys=True,
        gateway_key_cache_seconds=0.2,
    ) as gateway:
        yield gateway


TEMPLATES = "/api/v1/templates"


async def key_for(tenant: str, role: Role = Role.ADMIN) -> str:
    key, _ = await keys.create(tenant, "test", role)
    return f"Bearer {key}"


async def test_what_one_tenant_made_no_other_can_see(gateway: RunningGateway) -> None:
    ours, theirs = await key_for("acme"), await key_for("other")
    single = await gateway.post(Authorization=ours)
    batch = await gateway.post({"notifications": [SMS]}, BATCHES, Authorization=ours)
    paths = [
        single.headers["Location"],
        f"{single.headers['Location']}/trace",
        batch.headers["Location"],
    ]

    for path in paths:
        assert (await gateway.get(path, Authorization=ours)).status == 200
        response = await gateway.get(path, Authorization=theirs)
        assert response.status == 404
        assert (await problem_of(response))["type"] == "/probs/not-found"


async def test_what_one_tenant_made_no_other_can_list_cancel_or_use(
    gateway: RunningGateway,
) -> None:
    ours, theirs = await key_for("acme"), await key_for("other")
    made = await gateway.post(Authorization=ours)
    batch = await gateway.post({"notifications": [SMS]}, BATCHES, Authorization=ours)
    words = {"name": "welcome", "channel": "sms", "body": "hello"}
    template = await gateway.post(words, TEMPLATES, Authorization=ours)
    batch_id = batch.headers["Location"].rpartition("/")[2]
    id_ = (await template.json())["id"]

    async def listed(path: str, key: str) -> int:
        response = await gateway.get(path, Authorization=key)
        assert response.status == 200
        return len((await response.json())["items"])

    for path, count in (
        (NOTIFICATIONS, 2),
        (f"{NOTIFICATIONS}?recipient=%2B15555550001", 2),
        (f"{NOTIFICATIONS}?batch_id={batch_id}", 1),
        (TEMPLATES, 1),
    ):
        assert await listed(path, ours) == count
        assert await listed(path, theirs) == 0
    cursor = (
        await (await gateway.get(f"{NOTIFICATIONS}?limit=1", Authorization=ours)).json()
    )["next_cursor"]
    path = f"{NOTIFICATIONS}?limit=1&cursor={cursor}"
    assert (await gateway.get(path, Authorization=theirs)).status == 400

    cancel = f"{made.headers['Location']}/cancel"
    for method, path, body in (
        ("PATCH", cancel, None),
        ("GET", f"{TEMPLATES}/{id_}", None),
        ("PUT", f"{TEMPLATES}/{id_}", words),
        ("DELETE", f"{TEMPLATES}/{id_}", None),
        ("POST", NOTIFICATIONS, SMS | {"template_id": id_}),
    ):
        response = await gateway.http.request(
            method, path, json=body, headers={"Authorization": theirs}
        )
        assert response.status == 404, (method, path)
        await problem_of(response)
    own = await gateway.post(words, TEMPLATES, Authorization=theirs)
    assert own.status == 201  # a name is its tenant's own
    used = await gateway.post(SMS | {"template_id": id_}, Authorization=ours)
    assert used.status == 202
    response = await gateway.http.patch(cancel, headers={"Authorization": ours})
    assert response.status == 200


@pytest.mark.parametrize(
    ("role", "may_change", "may_list"),
    [
        (Role.SENDER, True, False),
        (Role.READER, False, True),
        (Role.OPERATOR, True, True),
        (Role.ADMIN, True, True),
    ],
)
async def test_listing_and_changing_take_the_role_for_it(
    gateway: RunningGateway, role: Role, may_change: bool, may_list: bool
) -> None:
    made = await gateway.post(Authorization=await key_for("acme"))
    template = {"name": "welcome", "channel": "sms", "body": "hello"}
    nobody = f"{TEMPLATES}/{uuid4()}"
    for method, path, body, may, status in (
        ("GET", NOTIFICATIONS, None, may_list, 200),
        ("GET", TEMPLATES, None, True, 200),
        ("GET", "/api/v1/metrics", None, True, 200),
        ("PATCH", f"{made.headers['Location']}/cancel", None, may_change, 200),
        ("POST", TEMPLATES, template, may_change, 201),
        ("PUT", nobody, template, may_change, 404),
        ("DELETE", nobody, None, may_change, 404),
    ):
        response = await gateway.http.request(
            method,
            path,
            json=body,
            headers={"Authorization": await key_for("acme", role)},
        )
        assert response.status == (status if may else 403), (method, path)


async def test_an_idempotency_key_belongs_to_its_tenant(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    responses = [
        await gateway.post(Authorization=await key_for(tenant), Idempotency_Key="k")
        for tenant in ("acme", "other")
    ]

    assert [response.status for response in responses] == [202, 202]
    rows = await ledger.fetch("SELECT tenant FROM notification ORDER BY id")
    assert [row["tenant"] for row in rows] == ["acme", "other"]


@pytest.mark.parametrize(
    ("role", "may_send", "may_read"),
    [
        (Role.SENDER, True, True),
        (Role.READER, False, True),
        (Role.OPERATOR, True, True),
        (Role.ADMIN, True, True),
    ],
)
async def test_a_role_may_do_what_it_is_for(
    gateway: RunningGateway, role: Role, may_send: bool, may_read: bool
) -> None:
    made = await gateway.post(Authorization=await key_for("acme"))
    key = await key_for("acme", role)
    answers = [
        (await gateway.post(Authorization=key), may_send, 202),
        (
            await gateway.post({"notifications": [SMS]}, BATCHES, Authorization=key),
            may_send,
            202,
        ),
        (await gateway.get(made.headers["Location"], Authorization=key), may_read, 200),
    ]

    for response, may, status in answers:
        assert response.status == (status if may else 403)
        if not may:
            assert (await problem_of(response))["type"] == "/probs/forbidden"


async def test_without_a_key_nothing_is_told(gateway: RunningGateway) -> None:
    made = await gateway.post(Authorization=await key_for("acme"))
    for authorization in ({}, {"Authorization": "Bearer tocsin_guess"}):
        answers = [
            await gateway.post(**authorization),
            await gateway.post({}, BATCHES, **authorization),
            await gateway.get(made.headers["Location"], **authorization),
            await gateway.get(f"{NOTIFICATIONS}/not-an-id", **authorization),
        ]
        for response in answers:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await problem_of(response))["type"] == "/probs/unauthorized"
    for path in ("/healthz/live", "/healthz/ready", "/metrics"):
        assert (await gateway.get(path)).status == 200


async def test_a_revoked_key_stops_working_within_seconds(
    gateway: RunningGateway,
) -> None:
    key, entry = await keys.create("acme", "test", Role.SENDER)
    authorization = f"Bearer {key}"
    assert (await gateway.post(Authorization=authorization)).status == 202
    await keys.revoke(entry.id)

    await until(lambda: is_unauthorized(gateway, authorization), 3)


async def is_unauthorized(gateway: RunningGateway, authorization: str) -> bool:
    return (await gateway.post(Authorization=authorization)).status == 401


async def test_a_key_works_until_it_expires(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    key, _ = await keys.create("acme", "test", Role.SENDER, expires_at=later)
    authorization = f"Bearer {key}"
    assert (await gateway.post(Authorization=authorization)).status == 202
    await ledger.fetch("UPDATE api_key SET expires_at = now()")

    await until(lambda: is_unauthorized(gateway, authorization), 3)


async def test_the_last_use_of_a_key_is_noted(gateway: RunningGateway) -> None:
    key, entry = await keys.create("acme", "test", Role.SENDER)
    assert entry.last_used_at is None
    await gateway.post(Authorization=f"Bearer {key}")

    [used] = await keys.entries("acme")
    assert used.last_used_at is not None


async def test_keys_cannot_be_checked_while_the_ledger_is_away(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    key = await key_for("acme")
    await ledger.fetch("ALTER TABLE api_key RENAME TO hidden")
    response = await gateway.post(Authorization=key)

    assert response.status == 503
    assert (await problem_of(response))["type"] == "/probs/dependency-unavailable"
    await ledger.fetch("ALTER TABLE hidden RENAME TO api_key")
    assert (await gateway.post(Authorization=key)).status == 202
