"""The ledger: partitioned notifications and trace, batches, idempotency, outbox, dead letters, keys.

Written as SQL because Piccolo declares neither partitions nor checks nor partial indexes.
Weekly partitions are made by the scheduler; the default partition catches the rest.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T12:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Create the ledger"


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
