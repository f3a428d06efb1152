"""``python -m migrations``: migrate the ledger at ``TOCSIN_POSTGRES_DSN``."""

import asyncio
import os
import sys

import asyncpg

from migrations.ledger import MigrationFailed, migrate


def main() -> None:
    """Migrate, and exit with 1 and one sentence when that fails."""
    dsn = os.environ.get("TOCSIN_POSTGRES_DSN")
    if not dsn:
        sys.exit("TOCSIN_POSTGRES_DSN is not set: name the ledger to migrate")
    try:
        asyncio.run(migrate(dsn))
    except (MigrationFailed, OSError, asyncpg.PostgresError) as error:
        sys.exit(f"the ledger could not be migrated: {error}")


if __name__ == "__main__":
    main()
