"""Leaving the console: nothing of it goes on behind a session that was closed."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from console.cli import Door, open_console
from console.place import Place
from console.source.scripted import ScriptedSource
from tests.waiting import until

PATIENCE = 20.0


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    """Run what answers like a gateway that lives, and lend its address."""

    async def live(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz/live", live)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("interrupted", [False, True], ids=["by its key", "cancelled"])
async def test_the_gateway_is_not_asked_any_more_after_the_end(interrupted: bool):
    """However it ends: cancelled again and again, it does not wait for its screens."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    async with gateway() as url:
        door = Door(
            url=url, api_key=None, operator="ann", armed=True, destructive=False
        )
        async with open_console(
            ScriptedSource(), Place(name="test"), door, url, {}
        ) as app:
            run = asyncio.create_task(app.run_async(headless=True))
            await until(lambda: app.acting.reached, PATIENCE)
            app.exit()
            while interrupted and not run.done():
                run.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([run], timeout=PATIENCE)
            assert run.done()
        watching = [
            task
            for task in asyncio.all_tasks()
            if task.get_name().startswith("console.")
        ]
        assert watching == []
    await until(lambda: gc.collect() == 0)
    assert complaints == []
