"""Rows show what providers told of them after accepting them."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T20:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Receipts"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0006_receipts.sql")

    async def run_backwards() -> None:
        await execute("0006_drop_receipts.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
