import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.keys import KEY_PREFIX, hash_key
from ops.runtime.ledger import Ledger
from tests.integration.commands import tocsin


async def keys(ledger: Ledger) -> list[asyncpg.Record]:
    return await ledger.fetch("SELECT * FROM api_key ORDER BY id")


async def create(dsn: str, *options: str) -> str:
    """Make a key and return it."""
    arguments = ("keys", "create", "--name", "test", *options, "--postgres-dsn", dsn)
    code, out, _ = await tocsin(*arguments)
    assert code == 0
    return out.strip()


async def listed(dsn: str, *options: str) -> list[dict[str, Any]]:
    arguments = ("keys", "list", "--json", *options, "--postgres-dsn", dsn)
    code, out, err = await tocsin(*arguments)
    assert (code, err) == (0, "")
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def test_a_key_is_shown_once_and_stored_as_its_hash(
    dsn: str, ledger: Ledger
) -> None:
    code, out, err = await tocsin(
        *("keys", "create", "--name", "checkout", "--role", "operator"),
        *("--tenant", "acme", "--postgres-dsn", dsn),
    )

    secret = out.strip()
    (row,) = await keys(ledger)
    assert code == 0
    assert secret.startswith(KEY_PREFIX)
    assert row["secret_hash"] == hash_key(secret)
    assert (row["tenant"], row["role"], row["name"]) == ("acme", "operator", "checkout")
    assert row["expires_at"] is None
    assert secret not in err
    assert str(row["id"]) in err


async def test_defaults_are_a_sender_of_the_default_tenant(
    dsn: str, ledger: Ledger
) -> None:
    await create(dsn)

    (row,) = await keys(ledger)
    assert (row["tenant"], row["role"]) == ("default", "sender")


@pytest.mark.parametrize(
    ("given", "span"),
    [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("2w", timedelta(14))],
)
async def test_a_key_may_expire_after_a_span(
    dsn: str, ledger: Ledger, given: str, span: timedelta
) -> None:
    before = datetime.now(UTC)
    await create(dsn, "--expires", given)

    (row,) = await keys(ledger)
    assert before + span <= row["expires_at"] <= datetime.now(UTC) + span


async def test_a_key_may_expire_at_a_moment(dsn: str, ledger: Ledger) -> None:
    await create(dsn, "--expires", "2041-01-31T01:00:00+01:00")

    (row,) = await keys(ledger)
    assert row["expires_at"] == datetime(2041, 1, 31, tzinfo=UTC)


async def test_the_list_shows_oldest_first_and_no_secret(
    dsn: str, ledger: Ledger
) -> None:
    secrets = [await create(dsn, "--tenant", tenant) for tenant in ("a", "b", "b")]

    found = await listed(dsn)
    assert [key["tenant"] for key in found] == ["a", "b", "b"]
    assert [key["tenant"] for key in await listed(dsn, "--tenant", "a")] == ["a"]
    assert set(found[0]) == {
        *("id", "tenant", "name", "role"),
        *("created_at", "expires_at", "revoked_at", "last_used_at"),
    }

    code, table, _ = await tocsin("keys", "list", "--postgres-dsn", dsn)
    assert code == 0
    assert len(table.splitlines()) == 4
    assert not [secret for secret in secrets if secret in table]


async def test_an_empty_list_is_a_heading(dsn: str) -> None:
    code, out, _ = await tocsin("keys", "list", "--postgres-dsn", dsn)

    assert (code, len(out.splitlines())) == (0, 1)


async def test_a_revoked_key_stays_in_the_list_as_such(
    dsn: str, ledger: Ledger
) -> None:
    await create(dsn, "--tenant", "acme")
    (row,) = await keys(ledger)

    first = await tocsin("keys", "revoke", str(row["id"]), "--postgres-dsn", dsn)
    (revoked,) = await keys(ledger)
    again = await tocsin("keys", "revoke", str(row["id"]), "--postgres-dsn", dsn)

    assert (first.code, first.out) == (0, "revoked test of tenant acme\n")
    assert revoked["revoked_at"] is not None
    assert (again.code, again.out) == (0, "already revoked: test of tenant acme\n")
    assert await keys(ledger) == [revoked], "revoking again moved the time"
    _, table, _ = await tocsin("keys", "list", "--postgres-dsn", dsn)
    assert "revoked 20" in table


async def test_revoking_what_is_not_there_fails(dsn: str) -> None:
    id_ = "019acf3e-5c00-7a4b-8c6d-0e1f2a3b4c5d"
    code, out, err = await tocsin("keys", "revoke", id_, "--postgres-dsn", dsn)

    assert (code, out, err) == (1, "", f"Error: there is no key {id_}\n")


async def test_the_ledger_of_the_mesh_that_runs_here_is_found(
    dsn: str, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / ".tocsin").mkdir()
    ready = {"postgres": dsn, "pids": {"postgres": os.getpid()}}
    (tmp_path / ".tocsin" / "ready.json").write_text(json.dumps(ready))

    assert (await tocsin("keys", "create", "--name", "x", folder=tmp_path)).code == 0
    assert len(await keys(ledger)) == 1


async def test_without_a_ledger_it_says_how_to_name_one(tmp_path: Path) -> None:
    code, _, err = await tocsin("keys", "list", folder=tmp_path)

    assert code == 2
    assert "TOCSIN_POSTGRES_DSN" in err


async def test_a_ledger_that_cannot_be_used_is_one_sentence(database: str) -> None:
    for dsn, why in (
        (database, "run `tocsin migrate`"),
        ("postgresql://tocsin@127.0.0.1:9/tocsin", "cannot be used"),
        ("nonsense", "cannot be used"),
    ):
        code, out, err = await tocsin("keys", "list", "--postgres-dsn", dsn)

        assert (code, out) == (1, "")
        assert why in err
        assert len(err.splitlines()) == 1
