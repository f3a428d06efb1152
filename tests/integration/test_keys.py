from datetime import UTC, datetime, timedelta

import pytest

from contracts.ids import new_id
from contracts.keys import KEY_PREFIX, Role, hash_key
from ops import keys
from ops.runtime.ledger import Ledger


async def test_a_key_is_stored_as_a_hash_alone(ledger: Ledger) -> None:
    key, entry = await keys.create("acme", "ci", Role.SENDER)

    [row] = await ledger.fetch("SELECT * FROM api_key")
    assert key.startswith(KEY_PREFIX)
    assert row["secret_hash"] == hash_key(key)
    assert key not in str(dict(row))
    assert (row["id"], row["tenant"], row["role"]) == (entry.id, "acme", "sender")


async def test_keys_are_listed_by_tenant_oldest_first(ledger: Ledger) -> None:
    made = [
        (await keys.create(tenant, name, Role.READER))[1]
        for tenant, name in (("acme", "a"), ("other", "b"), ("acme", "c"))
    ]

    assert await keys.entries() == made
    assert await keys.entries("acme") == [made[0], made[2]]
    assert await keys.entries("nobody") == []


async def test_a_key_is_revoked_once(ledger: Ledger) -> None:
    _, entry = await keys.create("acme", "ci", Role.ADMIN)

    assert await keys.revoke(entry.id)
    assert not await keys.revoke(entry.id)
    assert not await keys.revoke(new_id())
    [revoked] = await keys.entries()
    assert revoked.revoked_at is not None


@pytest.mark.parametrize("tenant", ["", "a.b", "*", "x" * 65])
async def test_a_tenant_that_would_reach_into_others_gets_no_key(
    ledger: Ledger, tenant: str
) -> None:
    with pytest.raises(keys.InvalidKey, match="tenant"):
        await keys.create(tenant, "ci", Role.SENDER)
    assert await keys.entries() == []


async def test_a_key_is_not_made_to_be_expired(ledger: Ledger) -> None:
    with pytest.raises(keys.InvalidKey, match="expired"):
        await keys.create("acme", "ci", Role.SENDER, expires_at=datetime.now(UTC))
    later = datetime.now(UTC) + timedelta(days=1)
    _, entry = await keys.create("acme", "ci", Role.SENDER, expires_at=later)
    assert [kept.expires_at for kept in await keys.entries()] == [entry.expires_at]
