"""Runs the tocsin command as a person does: as a process, away from the source tree."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Finished(NamedTuple):
    """How a command ended."""

    code: int | None
    out: str
    err: str


@asynccontextmanager
async def started(
    *arguments: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start it, and make sure it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        cwd=folder or ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finished(
    process: asyncio.subprocess.Process, timeout_seconds: float = 30
) -> Finished:
    """Wait for its end."""
    async with asyncio.timeout(timeout_seconds):
        out, err = await process.communicate()
    return Finished(process.returncode, out.decode(), err.decode())


async def tocsin(
    *arguments: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run it to its end."""
    async with started(*arguments, folder=folder, environment=environment) as process:
        return await finished(process)
