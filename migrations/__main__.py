"""``python -m migrations``: migrate the ledger at ``TOCSIN_POSTGRES_DSN``."""

import asyncio
import os
import sys

import asyncpg

from migrations.ledger import MigrationFailed, migrate


def main() -> None:
    """Migrate and write each migration that ran; exit with 1 and one sentence on failure."""
    dsn = os.environ.get("TOCSIN_POSTGRES_DSN")
    if not dsn:
        sys.exit("TOCSIN_POSTGRES_DSN is not set: name the ledger to migrate")
    try:
        ran = asyncio.run(migrate(dsn))
    except (MigrationFailed, OSError, ValueError, asyncpg.PostgresError) as error:
        sys.exit(f"the ledger could not be migrated: {error}")
    sys.stdout.writelines(f"{name}\n" for name in ran)


if __name__ == "__main__":
    main()
