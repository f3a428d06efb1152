"""Brings the ledger to its newest schema."""

import contextlib
import io
import os
from collections.abc import Iterator

import asyncpg
from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager
from piccolo.apps.migrations.tables import Migration

from contracts.tables import LedgerEngine
from migrations import piccolo_conf

#: Two processes that migrate at once would both run the same migration.
_LOCK_KEY = 0x70C51

_CONNECT_SECONDS = 5.0


class MigrationFailed(Exception):
    """The ledger could not be brought to its newest schema."""


async def migrate(dsn: str) -> list[str]:
    """Run every migration that has not run yet, each in one transaction; return their names.

    Safe to call from several processes at once: they take turns.
    """
    lock = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS)
    try:
        await lock.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        words = io.StringIO()
        with aimed_at(dsn), contextlib.redirect_stdout(words):
            before = await _names()
            result = await ForwardsMigrationManager(app_name="tocsin").run()
            if not result.success:
                raise MigrationFailed(result.message or words.getvalue())
            return [name for name in await _names() if name not in before]
    finally:
        await lock.close()


@contextlib.contextmanager
def aimed_at(dsn: str) -> Iterator[None]:
    """Let Piccolo's migration commands work on this ledger.

    They find the server through a module they import by name, and remember it.
    """
    os.environ["PICCOLO_CONF"] = piccolo_conf.__name__
    before = piccolo_conf.DB
    piccolo_conf.DB = Migration._meta.db = LedgerEngine(dsn)  # noqa: SLF001 (Piccolo offers no public way to bind an engine)
    try:
        yield
    finally:
        piccolo_conf.DB = Migration._meta.db = before  # noqa: SLF001


async def _names() -> list[str]:
    if not await Migration.table_exists():
        return []
    return await Migration.get_migrations_which_ran(app_name="tocsin")
