"""Gateways as processes of their own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def process(
    environment: dict[str, str], **settings: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    own = {f"TOCSIN_{name.upper()}": str(value) for name, value in settings.items()}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        env=environment | own,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def logged(started: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Return the first log line of an event."""
    assert started.stderr is not None
    async with asyncio.timeout(20):
        while line := await started.stderr.readline():
            record: dict[str, Any] = json.loads(line)
            if record["event"] == event:
                return record
    raise AssertionError(f"{event} was never logged")


async def ended(started: asyncio.subprocess.Process) -> tuple[int, list[str]]:
    """Return the exit code and the rest of the log."""
    async with asyncio.timeout(20):
        _, errors = await started.communicate()
    assert started.returncode is not None
    return started.returncode, errors.decode().splitlines()
