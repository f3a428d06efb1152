"""Invariant 9, route by route: everything that is served, as every role and as a stranger.

A route that is not in ``ROUTES`` fails ``test_every_route_is_walked``; a statement whose
tenant nobody would miss fails ``test_the_walk_misses_no_tenant``.
"""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from contracts.controls import RateLimit, provider_rate_key
from contracts.ids import new_id
from contracts.keys import Role
from contracts.oversight import recipient_hash
from contracts.settings import MeshSettings
from gateway import audit_store, letter_store, store
from gateway.letter_store import LetterStore
from gateway.routes.templates import PATH as TEMPLATES
from gateway.store import Store
from ops import keys
from ops.runtime.bus import Bus
from ops.runtime.controls import set_control
from ops.runtime.ledger import Ledger
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.operators import OPS
from tests.integration.scheduler.seeds import give_up
from tests.waiting import until

OURS = {"channel": "sms", "recipient": "+15555550123", "content": "only for acme"}
OUR_TEMPLATE = {"name": "k", "channel": "sms", "body": OURS["content"]}
THEIRS = {"channel": "sms", "recipient": "+15555550456", "content": "other business"}

EVERYONE = frozenset(Role)
SENDERS = EVERYONE - {Role.READER}
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

LETTERS = "/api/v1/dead-letters"
OPERATIONS = f"{LETTERS}/operations"
PROVIDER = "walked"
ERASURES = "/api/v1/privacy/erasures"
ALL_LETTERS = {"all": True, "reason": "walked"}
WALKED = {"reason": "walked"}
ERASE_US = {"recipient": OURS["recipient"], "reason": "walked"}

#: Every statement that is bound to a tenant, with the file it is of.
BOUND = [
    (module, name)
    for module in (store, letter_store, audit_store)
    for name in sorted(module.SQL.names())
    if "tenant = $1" in getattr(module.SQL, name)
]


class Walked(NamedTuple):
    """What a route answers to whom."""

    to_us: int  #: to those of the tenant whose role may
    to_strangers: int  #: to an admin of another tenant
    roles: frozenset[Role] = EVERYONE
    body: Any = None  #: what is sent, or what makes it
    changes: bool = False  #: answers like this once
    ends: bool = True  #: False for what goes on for as long as there is news

    def sent(self) -> Any:
        return self.body() if callable(self.body) else self.body


def template(content: str = "other words") -> dict[str, str]:
    return {"name": str(new_id()), "channel": "sms", "body": content}


#: Of every method and path. Those that ask for no key are in ``OPEN``.
ROUTES = {
    ("POST", NOTIFICATIONS): Walked(202, 202, SENDERS, THEIRS),
    ("GET", f"{NOTIFICATIONS}/<notification_id>"): Walked(200, 404),
    ("GET", f"{NOTIFICATIONS}/<notification_id>/trace"): Walked(200, 404),
    ("POST", BATCHES): Walked(202, 202, SENDERS, {"notifications": [THEIRS]}),
    ("GET", f"{BATCHES}/<batch_id>"): Walked(200, 404),
    ("GET", NOTIFICATIONS): Walked(200, 200, EVERYONE - {Role.SENDER}),
    ("PATCH", f"{NOTIFICATIONS}/<notification_id>/cancel"): Walked(
        200, 404, SENDERS, changes=True
    ),
    ("POST", TEMPLATES): Walked(201, 201, SENDERS, template),
    ("GET", TEMPLATES): Walked(200, 200),
    ("GET", f"{TEMPLATES}/<template_id>"): Walked(200, 404),
    ("PUT", f"{TEMPLATES}/<template_id>"): Walked(200, 404, SENDERS, template),
    ("DELETE", f"{TEMPLATES}/<template_id>"): Walked(204, 404, SENDERS, changes=True),
    ("GET", "/api/v1/metrics"): Walked(200, 200),
    ("GET", f"{NOTIFICATIONS}/<notification_id>/events"): Walked(200, 404, ends=False),
    ("GET", f"{BATCHES}/<batch_id>/events"): Walked(200, 404, ends=False),
    # what it shows is walked through in test_websocket.py
    ("GET", "/api/v1/ws/notifications"): Walked(400, 400),
    ("GET", LETTERS): Walked(200, 200, OPERATORS),
    ("GET", f"{LETTERS}/groups"): Walked(200, 200, OPERATORS),
    ("POST", f"{LETTERS}/replay"): Walked(202, 202, OPERATORS, ALL_LETTERS),
    ("POST", f"{LETTERS}/discard"): Walked(202, 202, OPERATORS, ALL_LETTERS),
    ("GET", OPERATIONS): Walked(200, 200, OPERATORS),
    ("GET", f"{OPERATIONS}/<operation_id>"): Walked(200, 404, OPERATORS),
    ("DELETE", f"{OPERATIONS}/<operation_id>"): Walked(200, 404, OPERATORS),
    **{
        ("GET", f"{OPS}/{what}"): Walked(200, 403, OPERATORS)
        for what in ("lanes", "breakers", "limits", "services", "schedule")
    },
    **{
        ("POST", f"{OPS}/lanes/{lane}/{change}"): Walked(202, 403, OPERATORS, WALKED)
        for lane in ("<channel>", "<channel>/<priority>")
        for change in ("pause", "resume")
    },
    ("POST", f"{OPS}/breakers/<provider>"): Walked(
        202, 403, OPERATORS, WALKED | {"order": "probe"}
    ),
    **{
        (method, f"{OPS}/limits/{whose}"): Walked(202, 403, OPERATORS, body)
        for whose in ("channels/<channel>", "providers/<provider>")
        for method, body in (("PUT", WALKED | {"per_second": 9}), ("DELETE", WALKED))
    },
    # what other tenants see there is walked through in look_up_as_a_stranger
    ("GET", f"{OPS}/audit"): Walked(200, 200, OPERATORS),
    ("GET", f"{OPS}/notifications"): Walked(400, 400, OPERATORS),
    ("POST", ERASURES): Walked(202, 202, ADMINS, ERASE_US),
    ("GET", f"{ERASURES}/<erasure_id>"): Walked(200, 404, ADMINS),
    ("DELETE", f"{ERASURES}/<erasure_id>"): Walked(200, 404, ADMINS),
}
#: With a path for each.
OPEN = {
    ("GET", "/healthz/live"): "/healthz/live",
    ("GET", "/healthz/ready"): "/healthz/ready",
    ("GET", "/metrics"): "/metrics",
    ("GET", "/docs"): "/docs",
    ("GET", "/docs/assets/<name>"): "/docs/assets/swagger-ui.css",
    ("GET", "/docs/openapi.json"): "/docs/openapi.json",
    ("GET", "/docs/openapi.yaml"): "/docs/openapi.yaml",
}
#: No key opens these, and nothing that is not signed: receipts/test_signed.py.
SIGNED = {("POST", "/api/v1/receipts/<provider>"): "/api/v1/receipts/acme"}


class Made(NamedTuple):
    """What the tenant ``acme`` has, by the words that name it in paths."""

    key: str
    ids: dict[str, str]

    def path(self, rule: str) -> str:
        for word, id_ in self.ids.items():
            rule = rule.replace(f"<{word}>", id_)
        assert "<" not in rule, f"nothing is made for {rule}"
        return rule


@pytest_asyncio.fixture
async def gateway(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> AsyncIterator[RunningGateway]:
    async with running_gateway(
        settings,
        gateway_require_keys=True,
        gateway_key_cache_seconds=0.2,
        gateway_receipts=[{"name": "acme", "form": "webhook", "secret": "s"}],
        gateway_house_tenant="acme",
    ) as gateway:
        yield gateway


async def key_for(tenant: str, role: Role = Role.ADMIN) -> str:
    key, _ = await keys.create(tenant, "walk", role)
    return f"Bearer {key}"


async def make(gateway: RunningGateway, idempotency_key: str = "k") -> Made:
    key = await key_for("acme")
    single = await gateway.post(
        OURS, Authorization=key, Idempotency_Key=idempotency_key
    )
    ours = await gateway.post(
        OUR_TEMPLATE | {"name": idempotency_key},
        TEMPLATES,
        Authorization=key,
        Idempotency_Key=idempotency_key,
    )
    batch = await gateway.post(
        {"notifications": [OURS] * 3}, BATCHES, Authorization=key
    )
    lost = await gateway.post(OURS, Authorization=key)
    await give_up(gateway.ledger, [UUID((await lost.json())["id"])])
    replay = await gateway.post(ALL_LETTERS, f"{LETTERS}/replay", Authorization=key)
    erasure = await gateway.post(ERASE_US, ERASURES, Authorization=key)
    limit = RateLimit(by="walk", at=datetime.now(UTC), per_second=9)
    await set_control(gateway.service.bus, provider_rate_key(PROVIDER), limit)
    return Made(
        key,
        {
            "operation_id": (await replay.json())["id"],
            "erasure_id": (await erasure.json())["id"],
            "notification_id": (await single.json())["id"],
            "batch_id": (await batch.json())["id"],
            "template_id": (await ours.json())["id"],
            "channel": "push",
            "priority": "low",
            "provider": PROVIDER,
        },
    )


async def ask(
    gateway: RunningGateway, method: str, path: str, body: Any, **headers: str
) -> aiohttp.ClientResponse:
    response = await gateway.http.request(method, path, json=body, headers=headers)
    if response.content_type == "text/event-stream":
        response.close()
    else:
        await response.read()
    return response


async def walk_as_a_stranger(gateway: RunningGateway, made: Made) -> None:
    """Fail if anything of ``acme`` is shown to another tenant, or can be changed by it."""
    before = await seen_by_us(gateway, made)
    stranger = await key_for("other")
    await look_up_as_a_stranger(gateway, made, stranger)
    await operate_as_a_stranger(gateway, made, stranger)
    for (method, rule), walked in ROUTES.items():
        path = made.path(rule)
        response = await ask(
            gateway, method, path, walked.sent(), Authorization=stranger
        )
        assert response.status == walked.to_strangers, f"{method} {path}"
        await tells_nothing_of_ours(response)
        if response.status == 404:
            assert (await problem_of(response))["type"] == "/probs/not-found"
    assert await seen_by_us(gateway, made) == before
    await replay_as_a_stranger(gateway, stranger)
    await share_a_key(gateway, made, stranger)
    await follow_as_a_stranger(gateway, made)
    await lose_a_member(gateway, made)


async def look_up_as_a_stranger(
    gateway: RunningGateway, made: Made, stranger: str
) -> None:
    """Look for what is ours by all that can be known of it; we find it."""
    recipient = OURS["recipient"]
    for by, value in (
        ("id", made.ids["notification_id"]),
        ("idempotency_key", "k"),
        ("recipient", quote(recipient)),
        ("recipient_hash", recipient_hash(recipient)),
    ):
        path = f"{OPS}/notifications?{by}={value}"
        theirs = await gateway.get(path, Authorization=stranger)
        assert (await theirs.json())["items"] == [], by
        ours = await gateway.get(path, Authorization=made.key)
        assert (await ours.json())["items"], by
    theirs = await gateway.get(f"{OPS}/audit", Authorization=stranger)
    assert (await theirs.json())["items"] == []


async def operate_as_a_stranger(
    gateway: RunningGateway, made: Made, stranger: str
) -> None:
    """Look at dead letters and operations, and begin some; what is there is all ours."""

    async def listed(path: str, key: str) -> list[Any]:
        shown = await (await gateway.get(path, Authorization=key)).json()
        return [each for items in shown.values() for each in items]

    async def counted(path: str, body: dict[str, Any], key: str) -> int:
        answer = await (await gateway.post(body, path, Authorization=key)).json()
        return int(answer["count"] if "dry_run" in body else answer["total"])

    for path in (LETTERS, f"{LETTERS}/groups", OPERATIONS):
        assert await listed(path, stranger) == [], path
        assert await listed(path, made.key), path
    for path, body in (
        (f"{LETTERS}/replay", ALL_LETTERS),
        (f"{LETTERS}/discard", ALL_LETTERS),
        (ERASURES, ERASE_US),
    ):
        forecast = body | {"dry_run": True}
        assert await counted(path, forecast, made.key), path
        assert await counted(path, forecast, stranger) == 0, path
        assert await counted(path, body, stranger) == 0, path
    # past the route, which shows what was stopped and undoes it when there is nothing to show
    theirs = LetterStore(gateway.ledger).of("other")
    assert not await theirs.stop(UUID(made.ids["operation_id"]), erasure=False)
    assert not await theirs.stop(UUID(made.ids["erasure_id"]), erasure=True)


async def tells_nothing_of_ours(response: aiohttp.ClientResponse) -> None:
    text = await response.text()
    assert OURS["recipient"] not in text
    assert OURS["content"] not in text


async def seen_by_us(gateway: RunningGateway, made: Made) -> list[str]:
    return [
        await (await gateway.get(made.path(rule), Authorization=made.key)).text()
        for (method, rule), walked in ROUTES.items()
        if method == "GET" and walked.to_strangers == 404 and walked.ends
    ]


async def replay_as_a_stranger(gateway: RunningGateway, stranger: str) -> None:
    """Send our very request with our key: it is theirs, each time, wherever it is known."""
    ids = set()
    for status in (202, 200):
        await gateway.service.redis.flushdb()
        response = await gateway.post(OURS, Authorization=stranger, Idempotency_Key="k")
        assert response.status == status
        ids.add((await response.json())["id"])
    assert len(ids) == 1, "a stranger was given our answer"


async def share_a_key(gateway: RunningGateway, made: Made, stranger: str) -> None:
    """Each has the answer to its own request, though both have used one key."""
    for authorization, body in (
        (stranger, template()),
        (made.key, OUR_TEMPLATE),
    ):
        response = await gateway.post(
            body, TEMPLATES, Authorization=authorization, Idempotency_Key="k"
        )
        assert response.status in {200, 201}
        assert (await response.json())["body"] == body["body"]


async def follow_as_a_stranger(gateway: RunningGateway, made: Made) -> None:
    """Ask for our changes as a stream of theirs would, past the route's own check."""
    ours = UUID(made.ids["notification_id"])
    changes = Store(gateway.ledger)
    assert await changes.of("acme").changes_after([ours], [0])
    assert await changes.of("other").changes_after([ours], [0]) == []


async def lose_a_member(gateway: RunningGateway, made: Made) -> None:
    """A row of another tenant is not shown, even when it says it is of our batch."""
    path = made.path(f"{BATCHES}/<batch_id>")
    members = (await (await gateway.get(path, Authorization=made.key)).json())[
        "notifications"
    ]
    await gateway.ledger.fetch(
        "UPDATE notification SET tenant = 'other' WHERE id = $1::text::uuid",
        members[1]["id"],
    )
    left = (await (await gateway.get(path, Authorization=made.key)).json())[
        "notifications"
    ]
    assert [m["id"] for m in left] == [members[0]["id"], members[2]["id"]]
    followed = (
        await Store(gateway.ledger).of("acme").member_ids(UUID(made.ids["batch_id"]))
    )
    assert followed == [UUID(m["id"]) for m in left]


async def test_every_route_is_walked(gateway: RunningGateway) -> None:
    served = {
        (method, rule.rule)
        for rule in gateway.app.quart.url_map.iter_rules()
        for method in rule.methods or {"GET"}
        if method != "HEAD"
    }

    assert served == ROUTES.keys() | OPEN.keys() | SIGNED.keys()


async def test_a_stranger_sees_and_changes_nothing(gateway: RunningGateway) -> None:
    await walk_as_a_stranger(gateway, await make(gateway))


@pytest.mark.parametrize(("module", "name"), BOUND)
async def test_the_walk_misses_no_tenant(
    gateway: RunningGateway,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
) -> None:
    """Without its tenant, any one statement is found out."""
    made = await make(gateway)
    blind = re.sub(
        r"(\w+\.)?tenant = \$1\b", "$1::text IS NOT NULL", getattr(module.SQL, name)
    )
    monkeypatch.setitem(module.SQL._statements, name, blind)
    with pytest.raises(AssertionError):
        await walk_as_a_stranger(gateway, made)


async def test_every_role_may_do_what_it_is_for_and_nothing_else(
    gateway: RunningGateway,
) -> None:
    made = await make(gateway)
    authorizations = {role: await key_for("acme", role) for role in Role}
    for (method, rule), walked in ROUTES.items():
        for role, key in authorizations.items():
            named = await make(gateway, str(new_id())) if walked.changes else made
            response = await ask(
                gateway, method, named.path(rule), walked.sent(), Authorization=key
            )
            may = role in walked.roles
            assert response.status == (walked.to_us if may else 403), (
                f"{role}: {method} {rule}"
            )
            if not may:
                assert (await problem_of(response))["type"] == "/probs/forbidden"


async def test_without_a_key_only_what_is_open_answers(gateway: RunningGateway) -> None:
    made = await make(gateway)
    for (method, rule), walked in ROUTES.items():
        response = await ask(gateway, method, made.path(rule), walked.sent())
        assert response.status == 401, f"{method} {rule}"
        assert (await problem_of(response))["type"] == "/probs/unauthorized"
    for (method, _), path in OPEN.items():
        assert (await ask(gateway, method, path, None)).status == 200
    for (method, _), path in SIGNED.items():
        for headers in ({}, {"Authorization": made.key}):
            response = await ask(gateway, method, path, {}, **headers)
            assert response.status == 401


async def test_a_revoked_key_stops_working_at_every_gateway_within_seconds(
    gateway: RunningGateway, settings: MeshSettings
) -> None:
    key, entry = await keys.create("acme", "test", Role.SENDER)
    other = settings.model_copy(update={"instance": "other"})
    async with running_gateway(
        other, gateway_require_keys=True, gateway_key_cache_seconds=1.0
    ) as second:

        async def statuses() -> set[int]:
            return {
                (await each.post(OURS, Authorization=f"Bearer {key}")).status
                for each in (gateway, second)
            }

        assert await statuses() == {202}
        await keys.revoke(entry.id)

        async def refused_by_both() -> bool:
            return await statuses() == {401}

        await until(refused_by_both, 4)
        assert await statuses() == {401}
