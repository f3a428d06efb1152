"""Gateways that run inside a test, on its servers, behind a socket of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from contracts.settings import MeshSettings
from gateway.app import DIRECT, Gateway
from gateway.routing import RouteName
from gateway.server import listen
from gateway.settings import GatewaySettings
from ops.runtime.service import Service, open_service

NOTIFICATIONS = "/api/v1/notifications"
BATCHES = "/api/v1/notifications/batch"
#: An id that nothing has; fixed, so that tests keep their names.
NOBODYS = "01a21e2d-b83b-749f-a533-b5c5a19b0652"
SMS = {"channel": "sms", "recipient": "+15555550001", "content": "hello"}


class RunningGateway:
    """One gateway and a client of it."""

    def __init__(
        self,
        app: Gateway,
        service: Service,
        dsn: str,
        port: int,
        http: aiohttp.ClientSession,
    ) -> None:
        self.app = app
        self.dsn = dsn
        self.service = service
        self.ledger = service.ledger
        self.port = port
        self.http = http

    async def post(
        self, body: Any = SMS, path: str = NOTIFICATIONS, **headers: str
    ) -> aiohttp.ClientResponse:
        """Post JSON; words of a header's name are joined with a hyphen."""
        response = await self.http.post(path, json=body, headers=spelled(headers))
        await response.read()
        return response

    async def post_under(self, key: str) -> aiohttp.ClientResponse:
        """Post an SMS under a key, again while another request under it is in progress."""
        while True:
            response = await self.post(Idempotency_Key=key)
            if response.status != 409:
                return response

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        response = await self.http.get(path, headers=spelled(headers))
        await response.read()
        return response

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create an SMS and return it."""
        response = await self.post(SMS | fields)
        assert response.status == 202, await response.text()
        created: dict[str, Any] = await response.json()
        return created

    async def empty(self) -> None:
        """Forget everything that was accepted."""
        await self.ledger.fetch(
            "TRUNCATE notification, notification_event, batch, idempotency_key,"
            " outbox_group"
        )
        await self.service.redis.flushdb()

    async def count(self, table: str = "notification") -> int:
        """Return how many rows a table has."""
        [row] = await self.ledger.fetch(f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])

    def metric(self, name: str, **labels: str) -> float:
        registry: CollectorRegistry = self.service.registry
        value = registry.get_sample_value(name, labels)
        assert value is not None, f"there is no {name}{labels}"
        return value


def spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def problem_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the problem a response is, after checking that it is a whole one."""
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = await response.json()
    assert problem["status"] == response.status
    assert problem["correlation_id"] == response.headers["X-Correlation-ID"]
    assert problem["type"].startswith("/probs/")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"]
    return problem


@asynccontextmanager
async def running_gateway(
    settings: MeshSettings,
    *,
    direct: frozenset[RouteName] = DIRECT,
    port: int = 0,
    **own: Any,
) -> AsyncIterator[RunningGateway]:
    """Run a gateway until the block is left, and then until it has drained."""
    gateway_settings = GatewaySettings.model_validate(
        settings.model_dump(mode="json")
        | {"drain_seconds": 4.0, "gateway_commit_seconds": 4.0}
        | own
    )
    async with open_service("gateway", gateway_settings) as service:
        listener = listen("127.0.0.1", port)
        port = listener.getsockname()[1]
        await service.bus.connected.wait()
        gateway = Gateway(gateway_settings, service, direct=direct)
        running = asyncio.create_task(gateway.run(listener), name="gateway")
        connector = aiohttp.TCPConnector(limit=0)
        try:
            async with aiohttp.ClientSession(
                f"http://127.0.0.1:{port}", connector=connector
            ) as http:
                yield RunningGateway(
                    gateway, service, str(gateway_settings.postgres_dsn), port, http
                )
        finally:
            service.stopping.set()
            await running
        assert service.stop.failures == []
