"""``python -m migrations``: migrate the ledger at ``TOCSIN_POSTGRES_DSN``.

Writes the name of each migration that ran. Exit codes: 0 migrated, 1 failed with one
sentence, 75 the ledger does not answer yet, so trying again makes sense.
"""

import asyncio
import os
import sys

import asyncpg

from migrations.ledger import MigrationFailed, migrate

TRY_AGAIN = os.EX_TEMPFAIL

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


def main() -> None:
    """Migrate and exit."""
    dsn = os.environ.get("TOCSIN_POSTGRES_DSN")
    if not dsn:
        sys.exit("TOCSIN_POSTGRES_DSN is not set: name the ledger to migrate")
    try:
        ran = asyncio.run(migrate(dsn))
    except _AWAY as error:
        sys.stderr.write(f"the ledger does not answer: {str(error) or 'timed out'}\n")
        sys.exit(TRY_AGAIN)
    except (MigrationFailed, ValueError, asyncpg.PostgresError) as error:
        sys.exit(f"the ledger could not be migrated: {error}")
    sys.stdout.writelines(f"{name}\n" for name in ran)


if __name__ == "__main__":
    main()
