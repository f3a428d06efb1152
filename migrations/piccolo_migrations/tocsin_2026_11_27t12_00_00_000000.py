"""The ledger: partitioned notifications and trace, batches, idempotency, outbox, dead letters, keys.

Written as SQL because Piccolo declares neither partitions nor checks nor partial indexes.
Weekly partitions are made by the scheduler; the default partition catches the rest.
"""

from pathlib import Path

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine.finder import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-27T12:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Create the ledger"

STATEMENTS = Path(__file__).parent.parent / "sql"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0001_create_ledger.sql")

    async def run_backwards() -> None:
        await execute("0001_drop_ledger.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager


async def execute(file_name: str) -> None:
    """Run a file of statements in the transaction Piccolo has opened around us."""
    engine = engine_finder()
    assert isinstance(engine, PostgresEngine)
    transaction = engine.current_transaction.get()
    assert transaction is not None
    await transaction.connection.execute((STATEMENTS / file_name).read_text())
