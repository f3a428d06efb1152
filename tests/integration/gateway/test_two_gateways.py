import asyncio
from collections import Counter

import aiohttp
import pytest

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import (
    NOTIFICATIONS,
    SMS,
    running_gateway,
)
from tests.integration.gateway.processes import logged, process
from tests.waiting import until


async def count(ledger: Ledger) -> int:
    [row] = await ledger.fetch("SELECT count(*) AS n FROM notification")
    return int(row["n"])


async def test_duplicates_at_two_gateways_are_one_notification(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async with (
        running_gateway(settings) as one,
        running_gateway(settings.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n}" for n in range(20)]
        responses = await asyncio.gather(
            *(gateway.post_under(key) for key in keys for gateway in (one, other, one))
        )
    assert [r.status for r in responses].count(202) == 20
    assert [r.status for r in responses].count(200) == 40
    assert await count(ledger) == 20
    assert len({await r.text() for r in responses}) == 20


async def test_two_gateways_with_the_same_keys_in_other_orders_do_not_deadlock(
    settings: MeshSettings, bus: Bus, ledger: Ledger, dsn: str
) -> None:
    async with (
        running_gateway(settings) as one,
        running_gateway(settings.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n:02}" for n in range(40)]
        async with blocked_ledger(dsn) as blocked:
            first = [asyncio.create_task(g.post()) for g in (one, other)]
            await blocked.somebody_waits()
            posts = [
                asyncio.create_task(gateway.post(Idempotency_Key=key))
                for gateway, ordered in ((one, keys), (other, keys[::-1]))
                for key in ordered
            ]
        responses = await asyncio.gather(*first, *posts)
        statuses = [response.status for response in responses]
        assert statuses.count(202) == 42
        assert statuses.count(200) == 40
        assert one.metric("tocsin_intake_commit_failures_total") == 0
        assert other.metric("tocsin_intake_commit_failures_total") == 0


@pytest.mark.parametrize("redis", ["there", "away"])
async def test_fifty_duplicates_at_two_processes_are_one_notification(
    environment: dict[str, str], bus: Bus, ledger: Ledger, redis: str
) -> None:
    if redis == "away":
        environment = environment | {"TOCSIN_REDIS_URL": "redis://127.0.0.1:1/0"}
    async with (
        process(environment, gateway_port=0, instance="one") as one,
        process(environment, gateway_port=0, instance="other") as other,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        ports = [(await logged(p, "gateway.listening"))["port"] for p in (one, other)]

        async def post(n: int) -> tuple[int, bytes]:
            url = f"http://127.0.0.1:{ports[n % 2]}{NOTIFICATIONS}"
            headers = {"Idempotency-Key": "k"}
            async with http.post(url, json=SMS, headers=headers) as response:
                return response.status, await response.read()

        answers = await asyncio.gather(*map(post, range(50)))
        later = [await post(n) for n in range(2)]

    statuses = Counter(status for status, _ in answers)
    assert statuses[202] == 1
    assert set(statuses) <= {200, 202, 409}
    assert [status for status, _ in later] == [200, 200]
    assert len({body for status, body in [*answers, *later] if status != 409}) == 1
    assert await count(ledger) == 1
    await until(lambda: queued(bus, 1))


async def queued(bus: Bus, messages: int) -> bool:
    return (await bus.js.stream_info("NOTIFY")).state.messages == messages
