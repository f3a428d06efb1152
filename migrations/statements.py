"""Runs the files of SQL that migrations are written in."""

from pathlib import Path

from piccolo.engine.finder import engine_finder
from piccolo.engine.postgres import PostgresEngine

STATEMENTS = Path(__file__).parent / "sql"


async def execute(file_name: str) -> None:
    """Run a file of statements in the transaction Piccolo has opened around us."""
    engine = engine_finder()
    assert isinstance(engine, PostgresEngine)
    transaction = engine.current_transaction.get()
    assert transaction is not None
    await transaction.connection.execute((STATEMENTS / file_name).read_text())
