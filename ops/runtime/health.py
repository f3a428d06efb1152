"""A small HTTP server for services without one: health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ops.runtime.readiness import Readiness


def health_app(readiness: Readiness, registry: CollectorRegistry) -> web.Application:
    """Build the application with ``/healthz/live``, ``/healthz/ready`` and ``/metrics``."""

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        missing = await readiness.missing()
        if not missing:
            return web.json_response({"status": "ok"})
        problem = {
            "type": "/probs/dependency-unavailable",
            "title": "Dependency unavailable",
            "status": 503,
            "detail": f"not available: {', '.join(missing)}",
        }
        return web.json_response(
            problem, status=503, content_type="application/problem+json"
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz/live", live),
            web.get("/healthz/ready", ready),
            web.get("/metrics", metrics),
        ]
    )
    return app


@asynccontextmanager
async def serve_health(
    readiness: Readiness, registry: CollectorRegistry, host: str, port: int
) -> AsyncIterator[None]:
    """Serve until the block is left."""
    runner = web.AppRunner(health_app(readiness, registry), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()
