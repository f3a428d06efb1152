"""A notification is old when it ended long ago, not when it was made long ago."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-28T00:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Count the age from the end"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0007_what_ended_long_ago.sql")

    async def run_backwards() -> None:
        await execute("0007_drop_what_ended_long_ago.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
