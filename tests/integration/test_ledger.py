import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from contracts.tables import Batch
from ops.runtime import ledger as ledgers
from ops.runtime.ledger import Ledger, open_ledger
from ops.runtime.ledger_watch import LedgerWatch
from tests.integration.conftest import mesh_settings
from tests.relay import relay
from tests.rows import insert, notification
from tests.servers import Source, Stack, paused
from tests.waiting import until


@pytest_asyncio.fixture
async def own(tmp_path: Path, server_source: Source) -> AsyncIterator[Stack]:
    """Servers of the test's own, to crash."""
    async with server_source.stack(tmp_path) as running:
        yield running


def settings_of(own: Stack) -> MeshSettings:
    return mesh_settings(own.postgres_dsn, own.nats_url, own.redis_url)


async def answers(ledger: Ledger) -> bool:
    try:
        await ledger.check()
    except ledgers.AWAY:
        return False
    return True


async def test_a_statement_that_collided_is_run_again(ledger: Ledger, dsn: str) -> None:
    first, second = notification(), notification()
    for row in (first, second):
        await insert(ledger.pool, **row)
    lock = "UPDATE notification SET attempts = attempts + 1 WHERE id = $1"
    other = await asyncpg.connect(dsn)
    # The one whose patience ends first notices the deadlock and is rolled back: not ours.
    await other.execute("SET deadlock_timeout = '60s'")
    async with other.transaction():
        await other.execute(lock, first["id"])
        # Locks the second row, then waits for the first.
        fetching = asyncio.create_task(
            ledger.fetch(
                "WITH one AS MATERIALIZED"
                " (SELECT id FROM notification WHERE id = $1 FOR UPDATE)"
                " SELECT n.id FROM notification n"
                " WHERE n.id = $2 AND EXISTS (SELECT FROM one) FOR UPDATE",
                second["id"],
                first["id"],
            )
        )
        await until(lambda: _someone_waits(ledger))
        await other.execute(lock, second["id"])
    await other.close()

    assert [row["id"] for row in await fetching] == [first["id"]]


async def _someone_waits(ledger: Ledger) -> bool:
    return bool(
        await ledger.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def test_a_statement_that_is_wrong_is_not_run_again(ledger: Ledger) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await ledger.fetch("SELECT * FROM nowhere")


async def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    async def fail_midway() -> None:
        async with ledger.transaction() as connection:
            await insert(connection, **notification())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_midway()
    assert await ledger.pool.fetchval("SELECT count(*) FROM notification") == 0


async def test_the_declared_tables_use_the_same_pool(ledger: Ledger) -> None:
    assert await Batch.count() == 0


async def test_a_ledger_opens_without_its_server(own: Stack) -> None:
    await own.postgres.crash()

    async with asyncio.timeout(1), open_ledger(settings_of(own)) as ledger:
        with pytest.raises(ledgers.AWAY):
            await ledger.check()


async def test_a_frozen_server_delays_neither_opening_nor_the_check_nor_closing(
    own: Stack,
) -> None:
    with paused(own.postgres):
        async with asyncio.timeout(8):
            async with asyncio.timeout(0.5):
                opening = open_ledger(settings_of(own))
                ledger = await opening.__aenter__()
            with pytest.raises(ledgers.AWAY):
                async with asyncio.timeout(2):
                    await ledger.check()
            await opening.__aexit__(None, None, None)


async def test_a_killed_server_is_away_and_comes_back(own: Stack) -> None:
    async with open_ledger(settings_of(own)) as ledger:
        await ledger.check()
        running = asyncio.create_task(ledger.fetch("SELECT pg_sleep(30)"))
        await until(lambda: _someone_sleeps(ledger))

        await own.postgres.crash()
        with pytest.raises(ledgers.AWAY):
            await running
        assert not await answers(ledger)

        await own.postgres.start()
        await until(lambda: answers(ledger))


@asynccontextmanager
async def watched(own: Stack) -> AsyncIterator[Ledger]:
    """A ledger that somebody keeps an eye on."""
    stopping = asyncio.Event()
    async with open_ledger(settings_of(own)) as ledger:
        watch = LedgerWatch(ledger, own.postgres_dsn)
        watching = asyncio.create_task(watch.run(stopping))
        await ledger.check()
        yield ledger
        stopping.set()
        await watching


async def test_a_frozen_server_is_noticed_and_nobody_waits_for_it(own: Stack) -> None:
    async with watched(own) as ledger:
        reading = asyncio.create_task(ledger.fetch("SELECT pg_sleep(30)"))
        await until(lambda: _someone_sleeps(ledger))
        with paused(own.postgres):
            async with asyncio.timeout(8):
                with pytest.raises(ledgers.AWAY):
                    await reading
            assert ledger.is_away
            with pytest.raises(ledgers.LedgerKnownAway):
                async with ledger.transaction():
                    pass
        await until(lambda: not ledger.is_away, 10)
        await ledger.fetch("SELECT 1")


async def test_a_process_that_stood_still_does_not_blame_the_ledger(own: Stack) -> None:
    async with watched(own) as ledger:
        with paused(own.postgres):
            await asyncio.sleep(0.7)  # a look is under way
            time.sleep(2)  # noqa: ASYNC251 (as a process does that is frozen)
            await asyncio.sleep(1.2)  # and is over
        for _ in range(20):
            assert not ledger.is_away
            await asyncio.sleep(0.05)


async def test_a_statement_is_given_up_in_time_though_its_server_is_frozen(
    own: Stack,
) -> None:
    async with open_ledger(settings_of(own)) as ledger:
        await ledger.check()
        with paused(own.postgres):
            async with asyncio.timeout(8):
                with pytest.raises(TimeoutError):
                    await ledger.fetch_within(0.3, "SELECT 1")
        [row] = await ledger.fetch_within(5, "SELECT 1 AS one")
        assert row["one"] == 1


async def test_a_statement_is_given_up_in_time_though_it_has_no_connection_yet(
    own: Stack,
) -> None:
    async with open_ledger(settings_of(own)) as ledger:
        with paused(own.postgres):
            async with asyncio.timeout(2):
                with pytest.raises(TimeoutError):
                    await ledger.fetch_within(0.3, "SELECT 1")


async def test_who_waits_for_a_connection_is_told_when_the_ledger_goes_away(
    own: Stack,
) -> None:
    async with open_ledger(settings_of(own)) as ledger:
        with paused(own.postgres):
            waiting = asyncio.create_task(ledger.fetch("SELECT 1"))
            await asyncio.sleep(0.1)  # it connects
            ledger.hang_up()
            ledger.hang_up()
            async with asyncio.timeout(1):
                with pytest.raises(ledgers.AWAY):
                    await waiting


#: What Postgres tells its clients when one of its processes was killed.
CRASH_NOTICE = (
    b"SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server"
    b" process\0\0"
)


async def test_a_connection_that_has_notice_of_its_end_counts_as_away(
    settings: MeshSettings,
) -> None:
    async with (
        relay(str(settings.postgres_dsn)) as wire,
        open_ledger(
            MeshSettings.model_validate(
                settings.model_dump()
                | {"postgres_dsn": wire.url, "postgres_pool_size": 1}
            )
        ) as ledger,
    ):
        await ledger.check()
        [client] = wire.clients
        client.write(b"E" + (len(CRASH_NOTICE) + 4).to_bytes(4, "big") + CRASH_NOTICE)

        await client.drain()
        for _ in range(5):  # the loop reads what came, and nothing more is under way
            await asyncio.sleep(0)

        with pytest.raises(ledgers.AWAY):
            await ledger.check()

        client.close()
        await until(lambda: answers(ledger))


async def _someone_sleeps(ledger: Ledger) -> bool:
    return bool(
        await ledger.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
    )


async def test_a_server_that_is_told_to_stop_counts_as_away(own: Stack) -> None:
    async with open_ledger(settings_of(own)) as ledger:
        await ledger.check()
        running = asyncio.create_task(ledger.fetch("SELECT pg_sleep(30)"))
        await until(lambda: _someone_sleeps(ledger))

        await own.postgres.stop()
        with pytest.raises(ledgers.AWAY):
            await running
