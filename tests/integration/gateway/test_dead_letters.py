"""Dead letters at the REST door: what operators see, ask for, and leave on record."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest_asyncio

from contracts.channels import Channel
from contracts.ids import lowest_id_at, new_id
from contracts.keys import Role
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import (
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.test_tenants import key_for
from tests.integration.scheduler.seeds import give_up

LETTERS = "/api/v1/dead-letters"
OPERATIONS = f"{LETTERS}/operations"
ERASURES = "/api/v1/privacy/erasures"
#: In UTC these are outside of the calendar.
NO_TIMES = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00")


class Operator:
    """Someone with a key."""

    def __init__(self, gateway: RunningGateway, key: str) -> None:
        self._gateway = gateway
        self._key = key

    async def get(self, path: str, status: int = 200) -> dict[str, Any]:
        response = await self._gateway.get(path, Authorization=self._key)
        return await self._read(response, status)

    async def post(
        self, path: str, body: dict[str, Any], status: int = 202
    ) -> dict[str, Any]:
        response = await self._gateway.post(body, path, Authorization=self._key)
        if status == 202:
            assert response.status == 202, await response.text()
            shown = await response.json()
            assert response.headers["Location"].endswith(shown["id"])
        return await self._read(response, status)

    async def delete(self, path: str, status: int = 200) -> dict[str, Any]:
        headers = {"Authorization": self._key}
        response = await self._gateway.http.delete(path, headers=headers)
        return await self._read(response, status)

    async def _read(self, response: Any, status: int) -> dict[str, Any]:
        assert response.status == status, await response.text()
        document: dict[str, Any] = await response.json()
        return document


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings, gateway_require_keys=True) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def operator(gateway: RunningGateway, ledger: Ledger) -> Operator:
    return Operator(gateway, await key_for("default", Role.OPERATOR))


async def failed(
    ledger: Ledger, number: int, channel: Channel = Channel.SMS
) -> list[UUID]:
    ids = await seed_notifications(ledger, None, number, channel=channel)
    await give_up(ledger, ids)
    return ids


async def test_letters_come_newest_first_in_pages_that_hold_each_once(
    operator: Operator, ledger: Ledger
) -> None:
    ids = await failed(ledger, 5)
    seen: list[str] = []
    path = f"{LETTERS}?limit=2"
    while path:
        page = await operator.get(path)
        seen += [item["notification_id"] for item in page["items"]]
        cursor = page.get("next_cursor")
        path = f"{LETTERS}?limit=2&cursor={cursor}" if cursor else ""

    assert len(seen) == 5
    assert set(seen) == {str(id_) for id_ in ids}
    [first] = (await operator.get(f"{LETTERS}?limit=1"))["items"]
    assert {**first, "id": "", "notification_id": "", "failed_at": ""} == {
        "id": "",
        "notification_id": "",
        "failed_at": "",
        "channel": "sms",
        "priority": "normal",
        "class": "permanent",
        "reason": "refused",
        "attempts": 1,
        "state": "open",
    }


async def test_a_filter_lets_through_what_it_names(
    operator: Operator, ledger: Ledger
) -> None:
    await failed(ledger, 2)
    await failed(ledger, 3, Channel.EMAIL)
    await ledger.fetch(
        "UPDATE dead_letter SET resolution = 'discarded', resolved_at = now(),"
        " resolved_by = 'ann' WHERE channel = 'sms'"
    )
    for query, number in {
        "": 3,
        "?state=all": 5,
        "?state=discarded": 2,
        "?channel=email&class=permanent&priority=normal&reason=refused": 3,
        "?channel=sms": 0,
        "?class=poison": 0,
        "?reason=other": 0,
        "?failed_after=2001-01-01T00:00:00Z": 3,
        "?failed_before=2001-01-01T00:00:00Z": 0,
    }.items():
        page = await operator.get(f"{LETTERS}{query}")
        assert len(page["items"]) == number, query


async def test_a_query_that_means_nothing_is_refused(operator: Operator) -> None:
    for query in (
        *("limit=0", "limit=x", "state=odd", "cursor=x", "channel=pigeon"),
        *("failed_after=yesterday", "failed_after=2031-01-01T00:00:00", "chanel=sms"),
        *("reason=%00", "reason=%FF", f"limit={'9' * 5_000}"),
        *(f"failed_after={time}" for time in NO_TIMES),
    ):
        problem = await operator.get(f"{LETTERS}?{query}", 400)
        assert problem["type"] == "/probs/bad-request", query


async def test_groups_say_what_most_died_of(operator: Operator, ledger: Ledger) -> None:
    await failed(ledger, 2)
    await failed(ledger, 3, Channel.EMAIL)

    groups = (await operator.get(f"{LETTERS}/groups"))["groups"]

    assert [(g["channel"], g["class"], g["reason"], g["count"]) for g in groups] == [
        ("email", "permanent", "refused", 3),
        ("sms", "permanent", "refused", 2),
    ]
    assert groups[0]["first"] <= groups[0]["last"]


async def test_a_dry_run_counts_shows_samples_and_begins_nothing(
    operator: Operator, ledger: Ledger
) -> None:
    ids = await failed(ledger, 6)
    await ledger.fetch(
        "UPDATE notification SET expires_at = now() WHERE id = ANY ($1)", ids[:2]
    )
    forecast = await operator.post(
        f"{LETTERS}/replay", {"filter": {"channel": "sms"}, "dry_run": True}, 200
    )

    assert (forecast["dry_run"], forecast["count"]) == (True, 6)
    assert forecast["refused"] == {"expired": 2, "redacted": 0, "gone": 0}
    assert len(forecast["samples"]) == 3
    assert (await operator.get(OPERATIONS))["items"] == []


async def test_a_replay_is_on_record_with_who_and_why_and_can_be_stopped(
    operator: Operator, ledger: Ledger
) -> None:
    ids = await failed(ledger, 3)
    begun = await operator.post(
        f"{LETTERS}/replay",
        {"filter": {"ids": [str(id_) for id_ in ids[:2]]}, "reason": "it is back"},
    )

    assert (begun["kind"], begun["state"], begun["total"]) == ("replay", "running", 2)
    assert begun["who"].startswith("test (")
    assert (begun["reason"], begun["rate_per_second"]) == ("it is back", 5.0)
    path = f"{OPERATIONS}/{begun['id']}"
    assert await operator.get(path) == begun
    stopped = await operator.delete(path)
    assert stopped["state"] == "stopped"
    assert await operator.delete(path) == stopped, "stopping again changes nothing"
    assert [one["id"] for one in (await operator.get(OPERATIONS))["items"]] == [
        begun["id"]
    ]


async def test_what_is_not_meant_is_not_begun(operator: Operator) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"reason": "why"}, "/filter"),
        ({"reason": "why", "all": True, "filter": {"channel": "sms"}}, "/filter"),
        ({"all": True}, "/reason"),
        ({"all": True, "reason": " "}, "/reason"),
        ({"all": True, "reason": "x" * 501}, "/reason"),
        ({"all": True, "reason": "why", "rate_per_second": 0}, "/rate_per_second"),
        ({"all": True, "reason": "why", "filter": {"channel": "x"}}, "/filter/channel"),
        ({"all": True, "reason": "why\0"}, "/reason"),
    ]
    for body, pointer in wrong:
        problem = await operator.post(f"{LETTERS}/discard", body, 400)
        assert problem["errors"][0]["pointer"] == pointer
    assert (await operator.get(OPERATIONS))["items"] == []


async def test_nobody_reaches_the_dead_letters_of_another_tenant(
    gateway: RunningGateway, operator: Operator, ledger: Ledger
) -> None:
    ids = await failed(ledger, 2)
    begun = await operator.post(f"{LETTERS}/replay", {"all": True, "reason": "x"})
    stranger = Operator(gateway, await key_for("other"))

    assert (await stranger.get(f"{LETTERS}?state=all"))["items"] == []
    assert (await stranger.get(f"{LETTERS}/groups"))["groups"] == []
    assert (await stranger.get(OPERATIONS))["items"] == []
    await stranger.get(f"{OPERATIONS}/{begun['id']}", 404)
    await stranger.delete(f"{OPERATIONS}/{begun['id']}", 404)
    assert (await operator.get(f"{OPERATIONS}/{begun['id']}"))["state"] == "running"
    named = {"filter": {"ids": [str(ids[0])]}, "reason": "x"}
    assert (await stranger.post(f"{LETTERS}/discard", named))["total"] == 0
    erased = {"recipient": "+15555550100", "reason": "x"}
    assert (await stranger.post(ERASURES, erased))["total"] == 0


async def test_operators_look_after_letters_and_only_admins_erase(
    gateway: RunningGateway, operator: Operator
) -> None:
    replay = {"all": True, "reason": "x"}
    erase = {"recipient": "+15555550100", "reason": "x"}
    for role in (Role.SENDER, Role.READER):
        other = Operator(gateway, await key_for("default", role))
        for path in (LETTERS, f"{LETTERS}/groups", OPERATIONS):
            assert (await other.get(path, 403))["type"] == "/probs/forbidden"
        await other.post(f"{LETTERS}/replay", replay, 403)
        await other.post(f"{LETTERS}/discard", replay, 403)
        await other.delete(f"{OPERATIONS}/{new_id()}", 403)
        await other.post(ERASURES, erase, 403)
    await operator.post(ERASURES, erase, 403)
    response = await gateway.get(LETTERS)
    assert response.status == 401
    assert (await problem_of(response))["type"] == "/probs/unauthorized"


async def test_an_erasure_never_says_whom_it_is_about(
    gateway: RunningGateway, operator: Operator, ledger: Ledger
) -> None:
    admin = Operator(gateway, await key_for("default"))
    await failed(ledger, 2)
    asked = {"recipient": "+15555550100", "reason": "+15555550100 wrote to us"}

    forecast = await admin.post(ERASURES, {**asked, "dry_run": True}, 200)
    assert forecast == {"dry_run": True, "count": 2}
    begun = await admin.post(ERASURES, asked)
    assert (begun["kind"], begun["total"]) == ("erase", 2)
    assert begun["reason"] == "[erased] wrote to us"
    assert "+15555550100" not in str(begun)
    await operator.delete(f"{OPERATIONS}/{begun['id']}", 404)
    assert (await admin.delete(f"{ERASURES}/{begun['id']}"))["state"] == "stopped"
    [row] = await ledger.fetch("SELECT target FROM operation")
    assert row["target"] is None
    assert (await admin.post(ERASURES, {"reason": "x"}, 400))["type"] == (
        "/probs/invalid-recipient"
    )


async def test_an_erasure_covers_what_a_gateway_whose_clock_is_ahead_accepted(
    gateway: RunningGateway, operator: Operator, ledger: Ledger
) -> None:
    admin = Operator(gateway, await key_for("default"))
    ahead = lowest_id_at(datetime.now(UTC) + timedelta(minutes=4))
    later = lowest_id_at(datetime.now(UTC) + timedelta(minutes=6))

    await admin.post(ERASURES, {"recipient": "+15555550100", "reason": "x"})

    [row] = await ledger.fetch("SELECT until FROM operation")
    assert ahead < row["until"] < later


async def test_an_operation_begins_once_for_each_idempotency_key(
    gateway: RunningGateway, ledger: Ledger
) -> None:
    await failed(ledger, 2)
    key = await key_for("default", Role.OPERATOR)
    body = {"all": True, "reason": "x"}
    first, again = [
        await gateway.post(
            body, f"{LETTERS}/replay", Authorization=key, Idempotency_Key="k"
        )
        for _ in range(2)
    ]

    assert (first.status, again.status) == (202, 200)
    assert await first.read() == await again.read()
    assert again.headers["Idempotent-Replay"] == "true"
    assert await gateway.count("operation") == 1
