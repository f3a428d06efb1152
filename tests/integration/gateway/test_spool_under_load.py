"""Postgres is killed or frozen under load: every promise made meanwhile is kept once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import pytest_asyncio

from tests.integration.conftest import Private
from tests.integration.gateway.gateways import (
    BATCHES,
    NOBODYS,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    running_gateway,
)
from tests.integration.gateway.spooling import Drain, is_away, statuses
from tests.integration.scheduler.seeds import column
from tests.waiting import until


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
