import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import nats
import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from ops import embedded
from ops.embedded import Servers, processes
from ops.embedded.errors import FolderInUse


@pytest_asyncio.fixture
async def own(tmp_path: Path) -> AsyncIterator[Servers]:
    async with embedded.servers(tmp_path, fsync=False) as running:
        yield running


async def write_everywhere(s: Servers) -> None:
    connection = await asyncpg.connect(s.postgres_dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    bus = await nats.connect(s.nats_url)
    await bus.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await bus.jetstream().publish("kept", b"7")
    await bus.close()


async def read_number(s: Servers) -> object:
    connection = await asyncpg.connect(s.postgres_dsn)
    try:
        return await connection.fetchval("SELECT number FROM kept")
    finally:
        await connection.close()


async def read_message(s: Servers) -> bytes | None:
    bus = await nats.connect(s.nats_url)
    try:
        return (await bus.jetstream().get_msg("KEPT", 1)).data
    finally:
        await bus.close()


async def ping(s: Servers) -> bool:
    async with Redis.from_url(s.redis_url) as redis:
        return await redis.ping()


async def test_data_survives_a_stop_and_a_start(tmp_path: Path) -> None:
    async with embedded.servers(tmp_path) as s:
        await write_everywhere(s)
        assert await ping(s)
    async with embedded.servers(tmp_path) as s:
        assert await read_number(s) == 7
        assert await read_message(s) == b"7"


async def test_servers_write_through_to_the_disk(tmp_path: Path) -> None:
    """What a power failure may take follows from these settings."""
    async with embedded.servers(tmp_path) as running:
        connection = await asyncpg.connect(running.postgres_dsn)
        try:
            assert await connection.fetchval("SHOW fsync") == "on"
            assert await connection.fetchval("SHOW synchronous_commit") == "on"
        finally:
            await connection.close()
        url = f"{running.nats_monitoring_url}/jsz"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            config = (await response.json())["config"]

    assert config["sync_interval"] == 1_000_000_000  # nanoseconds


async def test_nothing_is_left_running_after_leaving(tmp_path: Path) -> None:
    async with embedded.servers(tmp_path, fsync=False) as s:
        pids = [s.postgres.pid, s.nats.pid, s.redis.pid]
        family = [p for pid in pids for p in psutil.Process(pid).children()]

    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert not any(p.is_running() for p in family)


async def test_a_killed_server_comes_back_on_the_same_port_and_data(
    own: Servers,
) -> None:
    await write_everywhere(own)
    for child in (own.postgres, own.nats, own.redis):
        await child.crash()
        assert child.pid is None
        await child.start()

    assert await read_number(own) == 7
    assert await read_message(own) == b"7"
    assert await ping(own)


async def test_a_killed_postgres_comes_back_past_a_stuck_backend(own: Servers) -> None:
    """A backend that cannot notice the death keeps the shared memory, and the port."""
    connection = await asyncpg.connect(own.postgres_dsn)
    backend = psutil.Process(connection.get_server_pid())
    backend.suspend()
    await own.postgres.crash()
    await own.postgres.start()

    assert not processes.lives(backend)
    connection.terminate()


async def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(
    own: Servers,
) -> None:
    pid_file = own.postgres.log.parents[1] / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    await own.postgres.stop()
    pid_file.write_text("\n".join([str(own.nats.pid), *lines[1:], ""]))

    await own.postgres.start()


async def test_a_paused_server_keeps_its_port_and_stops_answering(own: Servers) -> None:
    own.redis.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ping(own), 0.3)
    own.redis.resume()

    assert await ping(own)


async def test_a_paused_server_can_still_be_stopped(own: Servers) -> None:
    own.nats.pause()

    assert await own.nats.stop()
    assert own.nats.pid is None


async def test_a_folder_serves_one_owner_at_a_time(own: Servers) -> None:
    folder = own.postgres.log.parent.parent
    with pytest.raises(FolderInUse, match="in use by another tocsin"):
        async with embedded.servers(folder):
            pass


async def test_the_database_asks_for_its_password(own: Servers) -> None:
    without = own.postgres_dsn.replace(own.postgres_dsn.split(":")[2].split("@")[0], "")
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(without)


async def test_each_test_has_a_database_of_its_own(database: str) -> None:
    connection = await asyncpg.connect(database)
    tables = await connection.fetchval("SELECT count(*) FROM pg_stat_user_tables")
    await connection.close()

    assert tables == 0
