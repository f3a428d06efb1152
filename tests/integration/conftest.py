import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from ops import embedded
from ops.embedded import Servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Servers]:
    """Real NATS, Postgres and Valkey, shared by the whole session: do not crash these."""
    folder = tmp_path_factory.mktemp("servers")
    async with embedded.servers(folder, fsync=False) as running:
        yield running


@pytest_asyncio.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The DSN of an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(servers.postgres_dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield servers.postgres_dsn.rpartition("/")[0] + f"/{name}"
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()
