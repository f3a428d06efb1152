import importlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from contracts.settings import MeshSettings
from migrations.ledger import migrate
from ops.runtime import topology
from ops.runtime.bus import Bus, open_bus
from ops.runtime.ledger import Ledger, open_ledger
from ops.runtime.limits import open_redis
from tests.servers import Nats, Source, Stack


@pytest.fixture(scope="session")
def server_source() -> Source:
    """Wheels, or containers when ``TOCSIN_TEST_SERVERS=containers``."""
    name = os.environ.get("TOCSIN_TEST_SERVERS", "wheels")
    if name not in {"wheels", "containers"}:
        pytest.exit(f"TOCSIN_TEST_SERVERS={name}: say wheels or containers", 1)
    source = importlib.import_module(f"tests.servers.{name}").SOURCE
    assert isinstance(source, Source)
    return source


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(
    tmp_path_factory: pytest.TempPathFactory, server_source: Source
) -> AsyncIterator[Stack]:
    """Real NATS, Postgres and Valkey, shared by the whole session: do not crash these."""
    async with server_source.stack(tmp_path_factory.mktemp("servers")) as running:
        yield running


@asynccontextmanager
async def database_made(servers: Stack, template: str) -> AsyncIterator[str]:
    """A database cloned from another one, dropped afterwards; yields its DSN."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(servers.postgres_dsn)
    try:
        await connection.execute(
            f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        )
        yield servers.postgres_dsn.rpartition("/")[0] + f"/{name}"
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def database(servers: Stack) -> AsyncIterator[str]:
    """The DSN of an empty database of the test's own."""
    async with database_made(servers, "template1") as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(servers: Stack) -> AsyncIterator[str]:
    """The name of a database with every migration run, to clone and never to use."""
    async with database_made(servers, "template1") as dsn:
        await migrate(dsn)
        yield dsn.rpartition("/")[2]


@pytest_asyncio.fixture
async def dsn(servers: Stack, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a migrated ledger of the test's own."""
    async with database_made(servers, migrated_template) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def nats_server(tmp_path: Path, server_source: Source) -> AsyncIterator[Nats]:
    """A bus of the test's own, to crash and restart as it likes; empty at first."""
    async with server_source.nats(tmp_path / "nats") as running:
        yield running


@pytest.fixture
def nats_url(nats_server: Nats) -> str:
    """The address of the test's own bus."""
    return nats_server.url


@pytest_asyncio.fixture
async def redis_url(servers: Stack) -> str:
    """The address of the session's Valkey, emptied."""
    async with Redis.from_url(servers.redis_url) as client:
        await client.flushall()
    return servers.redis_url


@pytest.fixture
def environment(dsn: str, nats_url: str, redis_url: str) -> dict[str, str]:
    """The environment a service process needs to run on the test's own servers."""
    return {
        **os.environ,
        "TOCSIN_POSTGRES_DSN": dsn,
        "TOCSIN_NATS_URL": nats_url,
        "TOCSIN_REDIS_URL": redis_url,
        "TOCSIN_LOG_FORMAT": "json",
    }


def mesh_settings(dsn: str, nats_url: str, redis_url: str) -> MeshSettings:
    return MeshSettings.model_validate(
        {
            "postgres_dsn": dsn,
            "nats_url": nats_url,
            "redis_url": redis_url,
            "instance": "test",
        }
    )


@pytest.fixture
def settings(dsn: str, nats_url: str, redis_url: str) -> MeshSettings:
    """What every service shares, on the test's own servers."""
    return mesh_settings(dsn, nats_url, redis_url)


@pytest_asyncio.fixture
async def ledger(dsn: str, servers: Stack) -> AsyncIterator[Ledger]:
    """A pool on the test's own ledger, and the declared tables bound to it."""
    settings = mesh_settings(dsn, servers.nats_url, servers.redis_url)
    async with open_ledger(settings) as ledger:
        yield ledger


@pytest_asyncio.fixture
async def bare_bus(nats_url: str, servers: Stack) -> AsyncIterator[Bus]:
    """A connection to the test's own bus, which has no stream yet."""
    settings = mesh_settings(servers.postgres_dsn, nats_url, servers.redis_url)
    lost: list[str] = []
    async with open_bus(settings, "test", lost.append) as bus:
        await bus.connected.wait()
        yield bus
    assert lost == []


@pytest_asyncio.fixture
async def bus(bare_bus: Bus) -> Bus:
    """A connection to the test's own bus, with every stream and consumer made."""
    await topology.ensure(bare_bus.js)
    return bare_bus


@pytest_asyncio.fixture
async def redis(servers: Stack, redis_url: str) -> AsyncIterator[Redis]:
    """A client of the session's Valkey, emptied."""
    settings = mesh_settings(servers.postgres_dsn, servers.nats_url, redis_url)
    async with open_redis(settings) as client:
        yield client


@dataclass
class Private:
    """Servers of the test's own, to crash, with a mesh on them."""

    servers: Stack
    shared: MeshSettings
    ledger: Ledger
    bus: Bus


@pytest_asyncio.fixture
async def private(tmp_path: Path, server_source: Source) -> AsyncIterator[Private]:
    async with server_source.stack(tmp_path / "servers") as servers:
        await migrate(servers.postgres_dsn)
        shared = MeshSettings.model_validate(
            {
                "postgres_dsn": servers.postgres_dsn,
                "nats_url": servers.nats_url,
                "redis_url": servers.redis_url,
            }
        )
        async with (
            open_ledger(shared) as ledger,
            open_bus(shared, "test", print) as bus,
        ):
            await bus.connected.wait()
            await topology.ensure(bus.js)
            yield Private(servers, shared, ledger, bus)
