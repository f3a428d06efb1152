"""Invariant 9: whatever belongs to a tenant is asked for with its tenant."""

import ast
import inspect
import re

import pytest

from gateway import store
from gateway.store import SQL

#: These work for the gateway itself: each row they write carries its own tenant, and the
#: owner of a key is what is being asked for.
OF_NO_TENANT = {
    *("commit_group", "forget_groups", "find_key"),
    *("count_failed", "measure_latency"),  # numbers of the whole mesh, and no row of it
}

#: A mention of a table whose rows belong to tenants.
OWNED = r"\b(?:FROM|UPDATE|JOIN)\s+(?:notification|batch|template|idempotency_key)\b"
INSERTED = r"INSERT INTO (?:notification|batch|template|idempotency_key)(?: AS \w+)?\s+\(tenant, [^)]*\)\s+VALUES \(\$1,"


@pytest.mark.parametrize("name", sorted(SQL.names() - OF_NO_TENANT))
def test_every_statement_of_a_tenant_binds_it(name: str) -> None:
    """Once for every table it names, not once for the statement."""
    statement = re.sub(r"ON CONFLICT .*? DO UPDATE", "", getattr(SQL, name))
    mentions = len(re.findall(OWNED, statement))
    binds = len(re.findall(r"\btenant = \$1", statement))

    if inserts := re.findall(r"INSERT INTO (?!notification_event)", statement):
        assert len(re.findall(INSERTED, statement)) == len(inserts)
    assert mentions + len(inserts) >= 1
    assert binds == mentions


def used_in(class_name: str) -> set[str]:
    tree = ast.parse(inspect.getsource(getattr(store, class_name)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "SQL"
    }


def test_only_a_tenants_store_runs_the_statements_of_a_tenant() -> None:
    assert used_in("Store") == OF_NO_TENANT
    assert used_in("TenantStore") == SQL.names() - OF_NO_TENANT
