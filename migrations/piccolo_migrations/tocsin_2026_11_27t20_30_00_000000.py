"""The scheduler writes down what its jobs did; lost leases are counted."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T20:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Keep what jobs did, count lost leases"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0004_runs_and_lost_leases.sql")

    async def run_backwards() -> None:
        await execute("0004_drop_runs_and_lost_leases.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
