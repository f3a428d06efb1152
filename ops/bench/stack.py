"""The servers and services a bench runs on: real servers, and services started by name."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil

from contracts.settings import MeshSettings
from ops.embedded import Servers, ports
from ops.runtime.modules import importable, python

_READY_WITHIN_SECONDS = 30


def environment(servers: Servers, **extra: str) -> dict[str, str]:
    """Return the environment that points a service at the servers."""
    return {
        **importable(os.environ),
        "TOCSIN_POSTGRES_DSN": servers.postgres_dsn,
        "TOCSIN_NATS_URL": servers.nats_url,
        "TOCSIN_REDIS_URL": servers.redis_url,
        **extra,
    }


def settings(servers: Servers) -> MeshSettings:
    """Return the settings for connections of the bench itself."""
    return MeshSettings.model_validate(
        {
            "postgres_dsn": servers.postgres_dsn,
            "nats_url": servers.nats_url,
            "redis_url": servers.redis_url,
        }
    )


async def prepare(servers: Servers) -> None:
    """Migrate the ledger and make the streams."""
    process = await asyncio.create_subprocess_exec(
        *python("ops", "migrate"),
        env=environment(servers),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise SystemExit("the bench could not prepare its servers")


@asynccontextmanager
async def running(
    module: str, servers: Servers, logs: Path, port_variable: str, **extra: str
) -> AsyncIterator[str]:
    """Run one service until the block is left, and give its address once it is ready."""
    (port,) = ports.choose(1)
    env = environment(servers, **{port_variable: str(port)}, **extra)
    with (logs / f"{module}.log").open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *python(module), env=env, stdout=sink, stderr=sink
        )
    address = f"http://127.0.0.1:{port}"
    try:
        await _ready(process, address)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def listener(address: str) -> psutil.Process:
    """Return the service that listens at an address."""
    port = urlsplit(address).port
    for child in psutil.Process().children():
        if any(c.laddr.port == port for c in child.net_connections("tcp")):
            return child
    raise SystemExit("a service of the bench is gone")


def processor_seconds(process: psutil.Process) -> float:
    """Return how long a process has been on a processor."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def _ready(process: asyncio.subprocess.Process, address: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(_READY_WITHIN_SECONDS):
        while True:
            if process.returncode is not None:
                raise SystemExit("a service ended before it was ready; see its log")
            try:
                async with http.get(f"{address}/healthz/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
