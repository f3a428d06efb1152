"""Lists by tenant; templates.

On a ledger with rows, building the indexes locks its partitions against writing: build
them first, partition by partition, with CREATE INDEX CONCURRENTLY (docs/adr/0007).
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from migrations.statements import execute

ID = "2026-11-27T18:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Index lists, keep templates"


async def forwards() -> MigrationManager:
    manager = MigrationManager(
        migration_id=ID, app_name="tocsin", description=DESCRIPTION
    )

    async def run() -> None:
        await execute("0002_list_and_template.sql")

    async def run_backwards() -> None:
        await execute("0002_drop_list_and_template.sql")

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
