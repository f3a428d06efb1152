import asyncio

import aiohttp

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import RunningGateway, running_gateway


async def count(ledger: Ledger) -> int:
    [row] = await ledger.fetch("SELECT count(*) AS n FROM notification")
    return int(row["n"])


async def test_duplicates_at_two_gateways_are_one_notification(
    settings: MeshSettings, bus: Bus, ledger: Ledger
) -> None:
    async def post(gateway: RunningGateway, key: str) -> aiohttp.ClientResponse:
        while True:
            response = await gateway.post(Idempotency_Key=key)
            if response.status != 409:
                return response

    async with (
        running_gateway(settings) as one,
        running_gateway(settings.model_copy(update={"instance": "other"})) as other,
    ):
        keys = [f"key {n}" for n in range(20)]
        responses = await asyncio.gather(
            *(post(gateway, key) for key in keys for gateway in (one, other, one))
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
