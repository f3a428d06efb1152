"""Dead letters are resolved by operations, which say who and why; rows may be redacted."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T18:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Operate on dead letters, redact"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0003_dead_letter_operations.sql")

    async def run_backwards() -> None:
        await execute("0003_drop_dead_letter_operations.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
