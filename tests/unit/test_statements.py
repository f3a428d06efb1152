from pathlib import Path

import pytest

from contracts.lifecycle import CANCELLABLE, CLAIMABLE, FINAL
from ops.runtime.errors import StatementMissing
from ops.runtime.sql import Statements

FILE = """\
-- A comment that belongs to no block.

-- claim --
-- Says what it guarantees.
UPDATE notification SET status = 'processing' WHERE status IN :claimable RETURNING id

-- cancel --
UPDATE notification SET status = 'cancelled' WHERE status IN :cancellable AND status NOT IN :final
"""


@pytest.fixture
def statements(tmp_path: Path) -> Statements:
    path = tmp_path / "store.sql"
    path.write_text(FILE)
    return Statements(path)


def listed(statuses: frozenset[str]) -> str:
    return "(" + ", ".join(f"'{status}'" for status in sorted(statuses)) + ")"


def test_each_block_is_a_statement(statements: Statements) -> None:
    assert statements.names() == {"claim", "cancel"}


def test_a_block_keeps_its_comment_and_nothing_of_the_next(
    statements: Statements,
) -> None:
    assert statements.claim.startswith("-- Says what it guarantees.\nUPDATE")
    assert statements.claim.endswith("RETURNING id")


def test_lists_come_from_the_lifecycle(statements: Statements) -> None:
    assert f"status IN {listed(CLAIMABLE)}" in statements.claim
    assert f"status IN {listed(CANCELLABLE)}" in statements.cancel
    assert f"status NOT IN {listed(FINAL)}" in statements.cancel


def test_a_missing_block_is_named_together_with_the_file(
    statements: Statements,
) -> None:
    with pytest.raises(StatementMissing, match=r"store\.sql has no block 'settle'"):
        _ = statements.settle
