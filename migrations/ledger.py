"""Brings the ledger to its newest schema."""

import contextlib
import io
import os

import asyncpg
from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager

#: Two processes that migrate at once would both run the same migration.
_LOCK_KEY = 0x70C51


class MigrationFailed(Exception):
    """The ledger could not be brought to its newest schema."""


async def migrate(dsn: str) -> None:
    """Run every migration that has not run yet, each in one transaction.

    Safe to call from several processes at once: they take turns.
    Piccolo reads the address from the environment, so this sets it.
    """
    os.environ["TOCSIN_POSTGRES_DSN"] = dsn
    os.environ["PICCOLO_CONF"] = "migrations.piccolo_conf"
    lock = await asyncpg.connect(dsn)
    try:
        await lock.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        words = io.StringIO()
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            result = await ForwardsMigrationManager(app_name="tocsin").run()
        if not result.success:
            raise MigrationFailed(result.message or words.getvalue())
    finally:
        await lock.close()
