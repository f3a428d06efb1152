"""Makes, lists and revokes keys of the public API, in the ledger that is open.

A key is shown once, by ``create``. Revoking takes effect within the few seconds for which
gateways remember a key.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from contracts.ids import new_id
from contracts.keys import Role, hash_key, is_tenant, new_key
from contracts.tables import ApiKey

_SHOWN = (
    ApiKey.id,
    ApiKey.tenant,
    ApiKey.name,
    ApiKey.role,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
)


class InvalidKey(ValueError):
    """A key cannot be made like this; the message says why."""


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; not the key itself."""

    id: UUID
    tenant: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  #: to the minute


async def create(
    tenant: str, name: str, role: Role, *, expires_at: datetime | None = None
) -> tuple[str, KeyEntry]:
    """Make a key and return it, the only time it can be seen, with its entry."""
    if not is_tenant(tenant):
        raise InvalidKey(
            "a tenant's name has 1 to 64 of the characters A-Z a-z 0-9 _ and -"
        )
    now = datetime.now(UTC)
    if expires_at is not None and expires_at <= now:
        raise InvalidKey("the key would already have expired")
    key = new_key()
    entry = KeyEntry(
        id=new_id(),
        tenant=tenant,
        name=name,
        role=role,
        created_at=now,
        expires_at=expires_at,
    )
    await ApiKey.insert(
        ApiKey(
            id=entry.id,
            tenant=tenant,
            name=name,
            role=str(role),
            secret_hash=hash_key(key),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return key, entry


async def entries(tenant: str | None = None) -> Sequence[KeyEntry]:
    """Return every key, or every key of one tenant, oldest first."""
    query = ApiKey.select(*_SHOWN).order_by(ApiKey.id)
    if tenant is not None:
        query = query.where(ApiKey.tenant == tenant)
    return [msgspec.convert(row, KeyEntry) for row in await query]


async def revoke(id_: UUID) -> bool:
    """Revoke a key; False when there is no such key that was not revoked before."""
    revoked = (
        await ApiKey.update({ApiKey.revoked_at: datetime.now(UTC)})
        .where(ApiKey.id == id_, ApiKey.revoked_at.is_null())
        .returning(ApiKey.id)
    )
    return bool(revoked)
