"""Invariant 9: every statement over dead letters and operations binds the tenant."""

import re

import pytest

from gateway.letter_store import SQL

OWNED = r"\b(?:FROM|UPDATE|JOIN)\s+(?:notification|dead_letter|operation)\b"


@pytest.mark.parametrize("name", sorted(SQL.names()))
def test_every_statement_of_a_tenant_binds_it(name: str) -> None:
    statement = getattr(SQL, name)
    tables = re.findall(OWNED, statement)

    assert tables
    assert len(re.findall(r"\btenant = \$1", statement)) == len(tables)
    for columns in re.findall(r"INSERT INTO operation \((\w+),", statement):
        assert columns == "tenant"
        assert re.search(r"SELECT \$1,", statement)
