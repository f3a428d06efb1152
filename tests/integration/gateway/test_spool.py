"""Acceptance while Postgres is away: what is spooled, what is answered, what becomes of it."""

import asyncio
import io
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from contracts import spool, subjects, topology
from contracts.keys import Role
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.spool import SpoolDrain
from scheduler.spool_store import SpoolStore
from scheduler.store import Store
from tests.integration.conftest import Private
from tests.integration.gateway.blocking import blocked_ledger, closed_to_everyone
from tests.integration.gateway.gateways import (
    BATCHES,
    NOBODYS,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
    running_gateway,
)
from tests.integration.gateway.test_ingest import answers, ask, key_made
from tests.integration.scheduler.running import running
from tests.integration.scheduler.seeds import column, ids_on_bus, stored, trace
from tests.servers import Stack
from tests.waiting import until

SPOOL = topology.SPOOL.name
LATER = "2199-01-01T00:00:00Z"


class Drain:
    """A scheduler's job that moves the spool, and what it counted."""

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        publisher = Publisher(bus, Store(ledger), metrics, late_seconds=5.0)
        self.job = SpoolDrain(bus, SpoolStore(ledger), publisher, metrics)
        self._bus = bus

    async def until_empty(self) -> None:
        async with running(self.job.step):
            await until(lambda: self._is_empty(), 20)

    async def _is_empty(self) -> bool:
        return await stored(self._bus, SPOOL) == 0

    def moved(self, outcome: str) -> float:
        name = "tocsin_scheduler_spool_moved_notifications_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0


@pytest.fixture
def drain(bus: Bus, ledger: Ledger) -> Drain:
    return Drain(bus, ledger)


@asynccontextmanager
async def away(servers: Stack, *gateways: RunningGateway) -> AsyncIterator[None]:
    """Close the ledger to everyone, and return when the gateways know; the same at the end."""
    async with closed_to_everyone(servers, gateways[0].ledger):
        await until(lambda: all(map(is_away, gateways)))
        yield
    await until(lambda: not any(map(is_away, gateways)))


def is_away(gateway: RunningGateway) -> bool:
    return gateway.metric("tocsin_ledger_away") == 1


async def ids_of(responses: Sequence[aiohttp.ClientResponse]) -> list[str]:
    return [(await response.json())["id"] for response in responses]


async def statuses(ledger: Ledger) -> dict[str, str]:
    rows = await ledger.fetch("SELECT id::text, status FROM notification")
    return {row["id"]: row["status"] for row in rows}


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


async def test_one_key_is_one_notification_whichever_gateway_is_asked(
    settings: MeshSettings,
    servers: Stack,
    bus: Bus,
    ledger: Ledger,
    drain: Drain,
) -> None:
    """Without Redis: the spool by itself keeps keys apart, and the ledger after it."""

    async def post(gateway: RunningGateway, key: str) -> aiohttp.ClientResponse:
        while True:
            response = await gateway.post(Idempotency_Key=key)
            if response.status != 409:
                return response

    ours = MeshSettings.model_validate(
        settings.model_dump(mode="json") | {"redis_url": "redis://127.0.0.1:9/0"}
    )
    async with (
        running_gateway(ours) as one,
        running_gateway(ours.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n}" for n in range(20)]
        async with away(servers, one, other):
            responses = await asyncio.gather(
                *(post(gateway, key) for key in keys for gateway in (one, other, one))
            )
            changed = await one.post(SMS | {"content": "x"}, Idempotency_Key=keys[0])
            assert changed.status == 409
        assert Counter(r.status for r in responses) == {202: 20, 200: 40}
        assert len({await r.text() for r in responses}) == 20
        assert await stored(bus, SPOOL) == 20

        again = await asyncio.gather(*(post(other, key) for key in keys))
        assert {r.status for r in again} == {200}, "known before they are moved"
        await drain.until_empty()
        more = await asyncio.gather(*(post(one, key) for key in keys))
        assert {r.status for r in more} == {200}, "and after"
        assert {await r.text() for r in (*again, *more)} == {
            await r.text() for r in responses
        }
    assert set((await statuses(ledger)).values()) == {"queued"}
    assert len(await statuses(ledger)) == 20


@pytest.mark.parametrize(
    ("body", "why"),
    [(SMS, "duplicate"), (SMS | {"content": "x"}, "idempotency_key_mismatch")],
    ids=["same", "other"],
)
@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES])
async def test_what_a_key_of_the_ledger_was_used_for_again_is_cancelled_as_it_is_moved(
    gateway: RunningGateway,
    servers: Stack,
    ledger: Ledger,
    bus: Bus,
    drain: Drain,
    path: str,
    body: Any,
    why: str,
) -> None:
    """With Redis flushed, nobody can know of the key while the ledger is away."""

    def sent(item: Any) -> Any:
        return item if path == NOTIFICATIONS else {"notifications": [item, item]}

    first = await gateway.post(sent(SMS), path, Idempotency_Key="k")
    await gateway.service.redis.flushdb()
    async with away(servers, gateway):
        second = await gateway.post(sent(body), path, Idempotency_Key="k")
        assert (first.status, second.status) == (202, 202)
    [first_id] = await ids_of([first])
    was = await statuses(ledger)
    await drain.until_empty()

    cancelled = {
        id_: status
        for id_, status in (await statuses(ledger)).items()
        if id_ not in was
    }
    assert set(cancelled.values()) == {"cancelled"}
    assert len(cancelled) == len(was)
    assert drain.moved("cancelled") == len(cancelled)
    for id_ in cancelled:
        seen = await (await gateway.get(f"{NOTIFICATIONS}/{id_}/trace")).json()
        events = [entry["event"] for entry in seen["entries"]]
        assert events == ["created", "queued", "cancelled"]
        assert seen["entries"][-1]["details"] == {"why": why, "duplicate_of": first_id}
    assert {str(id_) for id_ in await ids_on_bus(bus)} == set(was)
    assert (await gateway.get(second.headers["Location"])).status == 200


async def test_moving_again_changes_nothing(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    async with away(servers, gateway):
        await gateway.post(Idempotency_Key="k")
        await gateway.post({"notifications": [SMS] * 2}, BATCHES)
        entries = [
            spool.decode(message.data)
            for message in [
                await bus.js.get_msg(SPOOL, seq=sequence) for sequence in (1, 2)
            ]
            if message.data
        ]
    store = SpoolStore(ledger)
    await drain.until_empty()
    rows = await ledger.fetch("SELECT * FROM notification ORDER BY id")
    moved = await store.move(entries)

    assert (moved.stored, moved.known, moved.group.ids) == (0, 3, [])
    assert await ledger.fetch("SELECT * FROM notification ORDER BY id") == rows
    assert await gateway.count("notification_event") == 6
    assert await gateway.count("batch") == 1
    assert await gateway.count("outbox_group") == 0


async def test_two_schedulers_at_once_store_each_notification_once(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    async with away(servers, gateway):
        posts = [gateway.post(Idempotency_Key=f"{n}") for n in range(100)]
        responses = await asyncio.gather(*posts)
        entries = [
            spool.decode((await bus.js.get_msg(SPOOL, seq=n)).data or b"")
            for n in range(1, 101)
        ]
    store = SpoolStore(ledger)
    moved = await asyncio.gather(
        store.move(entries), store.move(entries), drain.until_empty()
    )

    assert set(await statuses(ledger)) == set(await ids_of(responses))
    assert sum(one.stored for one in moved[:2]) + drain.moved("stored") == 100
    assert await gateway.count("notification_event") == 200


async def test_a_submission_the_ledger_refuses_stays_and_keeps_nobody_waiting(
    gateway: RunningGateway, servers: Stack, ledger: Ledger, bus: Bus, drain: Drain
) -> None:
    await ledger.fetch(
        "ALTER TABLE notification ADD CONSTRAINT no_six CHECK (content <> 'six')"
    )
    async with away(servers, gateway):
        responses = [
            await gateway.post(SMS | {"content": content})
            for content in ("five", "six", "seven")
        ]
    five, six, seven = await ids_of(responses)
    async with running(drain.job.step):
        await until(lambda: only_left(bus, 1), 10)

    assert set(await statuses(ledger)) == {five, seven}
    assert (await gateway.get(f"{NOTIFICATIONS}/{six}")).status == 200


async def only_left(bus: Bus, submissions: int) -> bool:
    return await stored(bus, SPOOL) == submissions


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


async def test_a_commit_that_comes_about_after_all_is_the_same_notification(
    settings: MeshSettings,
    servers: Stack,
    bus: Bus,
    ledger: Ledger,
    dsn: str,
    drain: Drain,
) -> None:
    """The ledger is slow, not away: the statement that was given up commits in the end."""
    async with running_gateway(settings, gateway_commit_seconds=0.5) as gateway:
        async with blocked_ledger(dsn) as blocked:
            posting = asyncio.gather(
                gateway.post(),
                gateway.post(Idempotency_Key="k"),
                gateway.post({"notifications": [SMS] * 2}, BATCHES),
            )
            await blocked.somebody_waits()
            responses = await posting
            assert [r.status for r in responses] == [202] * 3
            assert await statuses(ledger) == {}
        await drain.until_empty()
        await until(lambda: nobody_is_busy(ledger), 10)
        await until(lambda: not is_away(gateway), 10)

        assert len(await statuses(ledger)) == 4
        assert set((await statuses(ledger)).values()) == {"queued"}
        assert await gateway.count("notification_event") == 8
        for response in responses:
            assert (await gateway.get(response.headers["Location"])).status == 200


async def nobody_is_busy(ledger: Ledger) -> bool:
    [row] = await ledger.fetch(
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active'"
    )
    return bool(row["n"] == 1)


@pytest_asyncio.fixture
async def spooling(private: Private) -> AsyncIterator[RunningGateway]:
    """A gateway on servers that may be killed and frozen."""
    async with running_gateway(private.shared, gateway_commit_seconds=2.0) as gateway:
        yield gateway


class Load:
    """Clients that post until they are told to stop, and what they were promised."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._stop = asyncio.Event()
        self.singles: set[str] = set()
        self.keyed: dict[str, set[str]] = {}
        self.batches: set[str] = set()
        self.refused = 0
        self.slowest_seconds = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        tasks = [asyncio.create_task(self._post(n)) for n in range(12)]
        yield self
        self._stop.set()
        await asyncio.gather(*tasks)

    @property
    def promised(self) -> int:
        return len(self.singles) + len(self.keyed) + len(self.batches)

    async def _post(self, client: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            # two clients use each key, at about the same time
            key = f"{client // 2}-{turn}"
            started = time.monotonic()
            match turn % 3:
                case 0:
                    response = await self._gateway.post()
                case 1:
                    response = await self._gateway.post(Idempotency_Key=key)
                case _:
                    body = {"notifications": [SMS] * 3}
                    response = await self._gateway.post(body, BATCHES)
            took = time.monotonic() - started
            self.slowest_seconds = max(self.slowest_seconds, took)
            if response.status not in (200, 202):
                assert response.status in (409, 503), await response.text()
                self.refused += 1
                await asyncio.sleep(0.02)
                continue
            id_ = (await response.json())["id"]
            match turn % 3:
                case 0:
                    self.singles.add(id_)
                case 1:
                    self.keyed.setdefault(key, set()).add(id_)
                case _:
                    self.batches.add(id_)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_every_promise_made_while_postgres_is_away_is_kept_once(
    private: Private, spooling: RunningGateway, how: str
) -> None:
    ledger, bus, postgres = private.ledger, private.bus, private.servers.postgres
    load = Load(spooling)
    async with load.running():
        await until(lambda: load.promised > 100, 20)
        if how == "killed":
            await postgres.crash()
        else:
            postgres.pause()
        try:
            await until(lambda: is_away(spooling), 10)
            promised = load.promised
            await until(lambda: load.promised > promised + 300, 20)
            looked = time.monotonic()
            some = await spooling.get(f"{NOTIFICATIONS}/{NOBODYS}")
            assert some.status == 503
            assert time.monotonic() - looked < 2
        finally:
            if how == "killed":
                await postgres.start()
            else:
                postgres.resume()
        await until(lambda: not is_away(spooling), 20)
        promised = load.promised
        await until(lambda: load.promised > promised + 100, 20)
    spooled = spooling.metric("tocsin_notifications_spooled_total")
    assert spooled > 300
    newest = next(iter(load.singles))
    assert (await spooling.get(f"{NOTIFICATIONS}/{newest}")).status == 200
    drain = Drain(bus, ledger)
    await drain.until_empty()

    known = await statuses(ledger)
    assert load.singles <= known.keys()
    for ids in load.keyed.values():
        # a second id: Redis did not remember in time what the ledger knew before
        first, *others = sorted(ids)
        assert known[first] == "queued"
        assert all(known.pop(other) == "cancelled" for other in others)
    for batch_id in load.batches:
        rows = await ledger.fetch(
            "SELECT count(*) AS n FROM notification WHERE batch_id = $1::uuid", batch_id
        )
        assert rows[0]["n"] == 3
    assert set(known.values()) == {"queued"}
    events = await column(ledger, "sequence", map(UUID, known))
    assert set(events) == {2}
    assert load.slowest_seconds < 10
