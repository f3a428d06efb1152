import inspect
import re

from gateway import audit_store
from gateway.audit_store import SQL


def test_every_statement_is_used() -> None:
    used = set(re.findall(r"\bSQL\.(\w+)", inspect.getsource(audit_store)))

    assert used == SQL.names()


def test_a_page_of_entries_is_the_tenants_own_unless_it_is_the_houses() -> None:
    assert "(tenant = $1 OR $5::boolean)" in SQL.list_entries
