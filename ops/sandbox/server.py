"""Runs the sandbox until it is told to stop."""

import asyncio
import signal

import click
import uvloop
from aiohttp import web

from ops.sandbox.app import create_app
from ops.sandbox.metrics import Metrics
from ops.sandbox.pauses import Pauses
from ops.sandbox.provider import Sandbox
from ops.sandbox.receipts import Receipts
from ops.sandbox.settings import SandboxSettings

DRAIN_SECONDS = 0.5
"""Held requests are let go at once; this is for writing what is still under way."""


def run(settings: SandboxSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain within a second and return.

    Raises `OSError` when the address cannot be bound.
    """
    uvloop.run(serve(settings))


async def serve(settings: SandboxSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    metrics, pauses = Metrics(), Pauses()
    sandbox = Sandbox(keep=settings.keep, metrics=metrics, seed=settings.seed)
    runner = web.AppRunner(
        create_app(sandbox, metrics, pauses, _receipts(settings)),
        access_log=None,
        handler_cancellation=True,  # a sender that gave up frees its held request
        shutdown_timeout=DRAIN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        host, port = runner.addresses[0][:2]
        click.echo(f"sandbox listening on {_make_url(host, port)}")
        await stopping.wait()
    finally:
        pauses.release()
        await runner.cleanup()


def _receipts(settings: SandboxSettings) -> Receipts | None:
    if settings.receipts_url is None or settings.receipts_secret is None:
        return None
    secret = settings.receipts_secret.get_secret_value()
    return Receipts(str(settings.receipts_url), secret)


def _make_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
