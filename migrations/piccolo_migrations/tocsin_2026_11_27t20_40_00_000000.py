"""What operators do is on record, and stays there."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T20:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Audit what operators do"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0005_audit.sql")

    async def run_backwards() -> None:
        await execute("0005_drop_audit.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
