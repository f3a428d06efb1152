"""Templates: kept, listed, replaced, deleted, and used."""

import asyncio
import json
import time
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.integration.gateway.gateways import (
    BATCHES,
    NOBODYS,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATES = "/api/v1/templates"


def template(**fields: Any) -> dict[str, Any]:
    return {
        "name": f"welcome {uuid4()}",
        "channel": "sms",
        "body": "Hello {{.Name}}!",
        **fields,
    }


async def make(gateway: RunningGateway, **fields: Any) -> dict[str, Any]:
    response = await gateway.post(template(**fields), TEMPLATES)
    assert response.status == 201, await response.text()
    made: dict[str, Any] = await response.json()
    return made


async def put(
    gateway: RunningGateway, id_: str, body: dict[str, Any]
) -> aiohttp.ClientResponse:
    response = await gateway.http.put(f"{TEMPLATES}/{id_}", json=body)
    await response.read()
    return response


async def delete(gateway: RunningGateway, id_: str) -> aiohttp.ClientResponse:
    response = await gateway.http.delete(f"{TEMPLATES}/{id_}")
    await response.read()
    return response


async def refused(
    response: aiohttp.ClientResponse, status: int, slug: str
) -> dict[str, Any]:
    assert response.status == status, await response.text()
    problem = await problem_of(response)
    assert problem["type"] == f"/probs/{slug}"
    return problem


async def send(
    gateway: RunningGateway, made: dict[str, Any], **fields: Any
) -> aiohttp.ClientResponse:
    body = {"channel": "sms", "recipient": SMS["recipient"], "template_id": made["id"]}
    return await gateway.post({**body, **fields})


async def test_a_template_is_kept_as_it_was_sent(
    shared_gateway: RunningGateway,
) -> None:
    asked = template(channel=" Email", subject="For {{ Name }}")
    response = await shared_gateway.post(asked, TEMPLATES)

    assert response.status == 201
    made = await response.json()
    assert response.headers["Location"] == f"{TEMPLATES}/{made['id']}"
    assert made == asked | {
        "id": made["id"],
        "channel": "email",
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    shown = await shared_gateway.get(f"{TEMPLATES}/{made['id']}")
    assert (shown.status, await shown.json()) == (200, made)


async def test_a_name_is_used_once(shared_gateway: RunningGateway) -> None:
    made, other = await make(shared_gateway), await make(shared_gateway)
    again = template(name=f" {made['name']}\n")

    problem = await refused(
        await shared_gateway.post(again, TEMPLATES), 409, "template-exists"
    )
    assert problem["errors"][0]["pointer"] == "/name"
    await refused(await put(shared_gateway, other["id"], again), 409, "template-exists")
    many = template()
    answers = await asyncio.gather(
        *(shared_gateway.post(many, TEMPLATES) for _ in range(8))
    )
    assert sorted(r.status for r in answers) == [201] + [409] * 7


@pytest.mark.parametrize(
    ("change", "slug", "pointer"),
    [
        ({"name": " "}, "invalid-template-name", "/name"),
        ({"name": None}, "invalid-template-name", "/name"),
        ({"name": "x" * 256}, "invalid-template-name", "/name"),
        ({"name": "a\nb"}, "invalid-template-name", "/name"),
        ({"channel": "fax"}, "invalid-channel", "/channel"),
        ({"body": ""}, "invalid-template-body", "/body"),
        ({"body": "{{ x"}, "invalid-template-body", "/body"),
        ({"body": "{{ x() }}"}, "invalid-template-body", "/body"),
        ({"body": "x" * 20_000}, "invalid-template-body", "/body"),
        ({"subject": "x"}, "bad-request", "/subject"),
        ({"channel": "email", "subject": "{{"}, "invalid-template-body", "/subject"),
        ({"body": 7}, "malformed-body", "/body"),
        ({"body": "a\0"}, "malformed-body", "/body"),
    ],
)
async def test_a_bad_template_is_answered_with_the_problem_of_its_field(
    shared_gateway: RunningGateway, change: dict[str, Any], slug: str, pointer: str
) -> None:
    asked = template() | change
    made = await make(shared_gateway)
    for response in (
        await shared_gateway.post(asked, TEMPLATES),
        await put(shared_gateway, made["id"], asked),
    ):
        problem = await refused(response, 400, slug)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("id_", "status", "slug"),
    [(NOBODYS, 404, "not-found"), ("7", 400, "bad-request")],
)
async def test_a_template_nobody_has_is_not_found(
    shared_gateway: RunningGateway, id_: str, status: int, slug: str
) -> None:
    for response in (
        await shared_gateway.get(f"{TEMPLATES}/{id_}"),
        await put(shared_gateway, id_, template()),
        await delete(shared_gateway, id_),
    ):
        await refused(response, status, slug)


async def test_templates_are_listed_newest_first_a_page_at_a_time(
    shared_gateway: RunningGateway,
) -> None:
    await shared_gateway.ledger.fetch("TRUNCATE template")
    empty = await shared_gateway.get(TEMPLATES)
    assert await empty.json() == {"items": []}
    made = [await make(shared_gateway) for _ in range(5)]
    first = await (await shared_gateway.get(f"{TEMPLATES}?limit=3")).json()
    path = f"{TEMPLATES}?limit=3&cursor={first['next_cursor']}"
    second = await (await shared_gateway.get(path)).json()

    assert first["items"] + second["items"] == list(reversed(made))
    assert "next_cursor" not in second
    response = await shared_gateway.get(
        f"{NOTIFICATIONS}?cursor={first['next_cursor']}"
    )
    await refused(response, 400, "bad-request")


async def test_a_key_makes_one_template(shared_gateway: RunningGateway) -> None:
    asked = template()
    first = await shared_gateway.post(asked, TEMPLATES, Idempotency_Key=asked["name"])
    again = await shared_gateway.post(asked, TEMPLATES, Idempotency_Key=asked["name"])

    assert (first.status, again.status) == (201, 200)
    assert await again.read() == await first.read()
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Location" not in again.headers


async def test_a_notification_carries_the_words_of_its_template(
    shared_gateway: RunningGateway,
) -> None:
    made = await make(
        shared_gateway, body="{{ user.name|upper }} owes {{.Sum}} ({{ n }})"
    )
    response = await send(
        shared_gateway,
        made,
        content="ignored",
        template_variables={"user": {"name": "ada"}, "Sum": 12.50, "n": 1_000_000},
    )

    assert response.status == 202
    body = await response.json()
    assert body["content"] == "ADA owes 12.5 (1000000)"
    assert body["template_id"] == made["id"]
    shown = await shared_gateway.get(f"{NOTIFICATIONS}/{body['id']}")
    assert await shown.json() == body


async def test_an_email_takes_the_subject_of_its_template_unless_it_has_one(
    shared_gateway: RunningGateway,
) -> None:
    made = await make(shared_gateway, channel="email", subject="For {{ Name }}")
    asked = {"channel": "email", "recipient": "someone@example.com"}
    variables = {"template_variables": {"Name": "Ada"}}
    theirs = await (await send(shared_gateway, made, **asked, **variables)).json()
    own = await send(shared_gateway, made, **asked, **variables, subject="Own")
    subjects = await shared_gateway.ledger.fetch(
        "SELECT subject FROM notification WHERE id = ANY($1) ORDER BY id",
        [theirs["id"], (await own.json())["id"]],
    )

    assert [row["subject"] for row in subjects] == ["For Ada", "Own"]
    variables = {"template_variables": {"Name": "Ada\nBcc: everyone"}}
    problem = await refused(
        await send(shared_gateway, made, **asked, **variables), 400, "bad-request"
    )
    assert problem["errors"][0]["pointer"] == "/subject"


@pytest.mark.parametrize(
    ("fields", "slug", "pointer"),
    [
        ({}, "template-render-failed", "/template_variables/user/name"),
        (
            {"channel": "push", "recipient": "token"},
            "template-render-failed",
            "/template_id",
        ),
        (
            {"template_variables": {"user": {"name": "x" * 200}}},
            "invalid-content",
            "/content",
        ),
        (
            {"template_variables": {"user": {"name": ""}}},
            "invalid-content",
            "/content",
        ),
        (
            {"template_variables": {"user": {"name": "x" * 70_000}}},
            "bad-request",
            "/template_variables",
        ),
        ({"template_variables": []}, "malformed-body", "/template_variables"),
        ({"template_id": "7"}, "malformed-body", "/template_id"),
    ],
)
async def test_a_template_that_cannot_be_filled_is_told_in_single_and_in_batch(
    shared_gateway: RunningGateway, fields: dict[str, Any], slug: str, pointer: str
) -> None:
    made = await make(shared_gateway, body="{{ user.name }}")
    problem = await refused(await send(shared_gateway, made, **fields), 400, slug)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]

    member = SMS | {"template_id": made["id"]} | fields
    response = await shared_gateway.post({"notifications": [SMS, member]}, BATCHES)
    problem = await refused(response, 400, slug)
    assert [error["pointer"] for error in problem["errors"]] == [
        f"/notifications/1{pointer}"
    ]


async def test_a_missing_variable_is_named_before_the_recipient_is_looked_at(
    shared_gateway: RunningGateway,
) -> None:
    made = await make(shared_gateway, body="{{ user.name }}")
    problem = await refused(
        await send(shared_gateway, made, recipient="nobody"),
        400,
        "template-render-failed",
    )

    assert "user.name" in problem["detail"]


async def test_members_of_a_batch_may_have_templates_of_their_own(
    shared_gateway: RunningGateway,
) -> None:
    one = await make(shared_gateway, body="one {{ n }}")
    two = await make(shared_gateway, body="two {{ n }}")
    members = [
        SMS | {"template_id": made["id"], "template_variables": {"n": n}}
        for n, made in enumerate([one, two, one])
    ]
    response = await shared_gateway.post({"notifications": [*members, SMS]}, BATCHES)
    assert response.status == 202
    shown = await shared_gateway.get(response.headers["Location"])

    assert [n["content"] for n in (await shown.json())["notifications"]] == [
        *("one 0", "two 1", "one 2", "hello")
    ]


async def test_a_replaced_template_is_used_at_once_and_changes_nothing_accepted(
    shared_gateway: RunningGateway,
) -> None:
    made = await make(shared_gateway, body="old")
    before = await (await send(shared_gateway, made)).json()
    response = await put(
        shared_gateway, made["id"], template(name=made["name"], body="new")
    )
    assert response.status == 200
    replaced = await response.json()
    after = await (await send(shared_gateway, made)).json()

    assert (before["content"], after["content"]) == ("old", "new")
    assert replaced["created_at"] == made["created_at"]
    assert replaced["updated_at"] > made["updated_at"]
    shown = await shared_gateway.get(f"{NOTIFICATIONS}/{before['id']}")
    assert (await shown.json())["content"] == "old"


async def test_a_template_in_use_is_not_deleted(
    shared_gateway: RunningGateway,
) -> None:
    made = await make(shared_gateway, body="x")
    created = await (await send(shared_gateway, made)).json()

    await refused(await delete(shared_gateway, made["id"]), 409, "template-in-use")
    cancelled = await shared_gateway.http.patch(
        f"{NOTIFICATIONS}/{created['id']}/cancel"
    )
    assert cancelled.status == 200
    response = await delete(shared_gateway, made["id"])
    assert (response.status, await response.read()) == (204, b"")
    await refused(await delete(shared_gateway, made["id"]), 404, "not-found")
    await refused(await send(shared_gateway, made), 404, "not-found")


@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES])
async def test_a_key_is_answered_again_though_its_template_is_another_or_gone(
    shared_gateway: RunningGateway, path: str
) -> None:
    made = await make(shared_gateway, body="old")
    key = made["name"]
    member = SMS | {"template_id": made["id"]}
    body = member if path == NOTIFICATIONS else {"notifications": [member]}
    first = await shared_gateway.post(body, path, Idempotency_Key=key)
    assert first.status == 202

    await put(shared_gateway, made["id"], template(name=key, body="{{ absent }}"))
    changed = await shared_gateway.post(body, path, Idempotency_Key=key)
    await shared_gateway.ledger.fetch("DELETE FROM template WHERE id = $1", made["id"])
    gone = await shared_gateway.post(body, path, Idempotency_Key=key)
    for again in (changed, gone):
        assert again.status == 200
        assert await again.read() == await first.read()
        assert again.headers["Idempotent-Replay"] == "true"
    other = await shared_gateway.post(body, path, Idempotency_Key=f"{key}2")
    await refused(other, 404, "not-found")


async def test_the_largest_templates_hold_nobody_up(
    shared_gateway: RunningGateway,
) -> None:
    """A thousand of them in one batch, while others ask for little."""
    source = "{% if x|upper == 'a' %}{% endif %}" * 50 + "done"
    made = await make(shared_gateway, body=source)
    member = SMS | {
        "template_id": made["id"],
        "template_variables": {"x": "ß" * 600},
    }
    body = BytesIO(json.dumps({"notifications": [member] * 1_000}).encode())
    batch = asyncio.create_task(
        shared_gateway.http.post(
            BATCHES, data=body, headers={"Content-Type": "application/json"}
        )
    )
    longest = 0.0
    while not batch.done():
        started = time.perf_counter()
        assert (await shared_gateway.get("/healthz/live")).status == 200
        longest = max(longest, time.perf_counter() - started)

    assert (await batch).status == 202
    assert longest < 1.0
