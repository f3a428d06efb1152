"""A real mesh in trouble: its provider of SMS fails, and a dispatcher was killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from ops.sandbox.app import create_app
from ops.sandbox.metrics import Metrics
from ops.sandbox.pauses import Pauses
from ops.sandbox.provider import Sandbox
from tests.acceptance.mesh import Mesh, running_mesh

ROUTES = """
[channels.sms]
providers = [{ name = "acme", weight = 9 }, { name = "backup", weight = 1 }]

[providers.acme]
kind = "webhook"
rate = 60

[providers.backup]
kind = "webhook"
rate = 12
"""
SEED = 7
#: Per second: channel, priority, how many, and one in how many will never be delivered.
LOAD = (
    ("sms", "high", 5, 0),
    ("sms", "normal", 30, 12),
    ("email", "high", 3, 0),
    ("email", "normal", 20, 40),
    ("email", "low", 40, 0),
    ("push", "normal", 8, 60),
)
_RECIPIENTS = {
    "sms": ("+15555550001", "+15005550001"),
    "email": ("ann@example.com", "permanent@example.com"),
    "push": ("a-device", "permanent"),
}


class Incident:
    """A mesh under load, and the provider that fails when told to."""

    def __init__(self, mesh: Mesh, acme: str, http: aiohttp.ClientSession) -> None:
        self.mesh = mesh
        self.orders: dict[str, str] = {}
        """The ids of urgent SMS by their idempotency keys."""
        self._acme = acme
        self._http = http

    async def load(self) -> None:
        """Send as much every second, until cancelled."""
        second = 0
        while True:
            second += 1
            await self.mesh.create_batch(
                [
                    _body(channel, priority, second * number + n, dead)
                    for channel, priority, number, dead in LOAD
                    for n in range(number)
                ]
            )
            key = f"order-{8800 + second}"
            answer = await self.mesh.post(
                _body("sms", "high", second, 0), **{"Idempotency-Key": key}
            )
            self.orders[key] = str((await answer.json())["id"])
            await asyncio.sleep(1)

    async def break_acme(self, share: float) -> None:
        """Have a share of what the provider of SMS gets fail, and all of it take longer."""
        behaviour = {"mode": "transient", "rate": share, "latency_ms": 300}
        async with self._http.put(f"{self._acme}/behaviour", json=behaviour) as answer:
            assert answer.status == 200, await answer.text()


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[Incident]:
    """Run a mesh whose SMS go through two providers of their own."""
    (folder / "routes.toml").write_text(ROUTES)
    environment = {"TOCSIN_DISPATCHER_ROUTES": str(folder / "routes.toml")}
    async with AsyncExitStack() as stack:
        urls = {}
        for name in ("acme", "backup"):
            urls[name] = await stack.enter_async_context(_provider())
            environment[f"TOCSIN_{name.upper()}_URL"] = f"{urls[name]}/send"
            environment[f"TOCSIN_{name.upper()}_ALLOW_PRIVATE"] = "true"
        mesh = await stack.enter_async_context(
            running_mesh(folder, "--dispatchers", "2", environment=environment)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Incident(mesh, urls["acme"], http)


@asynccontextmanager
async def _provider() -> AsyncIterator[str]:
    metrics, pauses = Metrics(), Pauses()
    sandbox = Sandbox(keep=1_000, metrics=metrics, seed=SEED)
    runner = web.AppRunner(
        create_app(sandbox, metrics, pauses, None), access_log=None, shutdown_timeout=1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        pauses.release()
        await runner.cleanup()


def _body(channel: str, priority: str, number: int, dead: int) -> dict[str, Any]:
    known, refused = _RECIPIENTS[channel]
    never = dead and number % dead == 0
    return {
        "channel": channel,
        "priority": priority,
        "recipient": refused if never else known,
        "content": "Your order is on its way.",
        **({"subject": "Your order"} if channel == "email" else {}),
    }
