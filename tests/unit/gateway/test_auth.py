import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.keys import Role, hash_key, is_tenant, new_key
from contracts.problems import ProblemType
from gateway.auth import Keyring
from gateway.errors import Refusal
from gateway.principals import EVERYONE, PERMISSIONS, Permission, Principal
from gateway.store import KeyHolder


class Keys:
    """Keys in memory, and how often they were looked up."""

    def __init__(self, **holders: KeyHolder) -> None:
        self.held = {hash_key(key): holder for key, holder in holders.items()}
        self.looked_up = 0
        self.open = asyncio.Event()
        self.open.set()
        self.is_away = False

    async def find_key(self, secret_hash: bytes) -> KeyHolder | None:
        self.looked_up += 1
        await self.open.wait()
        if self.is_away:
            raise ConnectionRefusedError
        return self.held.get(secret_hash)


ACME = KeyHolder("acme", Role.SENDER, "checkout")


async def test_a_key_says_whose_it_is() -> None:
    keyring = Keyring(Keys(k=ACME), 60)
    principal = await keyring.authenticate(b"Bearer k")

    assert (principal.tenant, principal.role, principal.who) == ACME[:3]
    assert await keyring.authenticate(b"bearer  k") == principal


async def test_keys_of_one_tenant_have_names_of_their_own() -> None:
    keyring = Keyring(Keys(k=ACME, other=ACME), 60)
    names = {
        (await keyring.authenticate(authorization)).key
        for authorization in (b"Bearer k", b"Bearer other")
    }

    assert len(names) == 2
    assert not any(hash_key("k").hex() in name for name in names)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"k",
        b"Bearer",
        b"Bearer ",
        b"Basic k",
        b"Bearer other",
        b"Bearer k k",
    ],
)
async def test_anything_else_is_unauthorized(header: bytes | None) -> None:
    with pytest.raises(Refusal) as caught:
        await Keyring(Keys(k=ACME), 60).authenticate(header)

    assert caught.value.problem == ProblemType.UNAUTHORIZED
    assert (b"www-authenticate", b"Bearer") in caught.value.headers


async def test_a_key_is_looked_up_once_while_it_is_remembered() -> None:
    keys = Keys(k=ACME)
    keyring = Keyring(keys, 60)
    for _ in range(3):
        await keyring.authenticate(b"Bearer k")
        with pytest.raises(Refusal):
            await keyring.authenticate(b"Bearer other")

    assert keys.looked_up == 2


async def test_a_key_that_is_not_remembered_is_looked_up_each_time() -> None:
    keys = Keys(k=ACME)
    keyring = Keyring(keys, 0)
    await keyring.authenticate(b"Bearer k")
    keys.held.clear()

    with pytest.raises(Refusal):
        await keyring.authenticate(b"Bearer k")


async def test_callers_with_one_key_share_one_question_and_survive_each_other() -> None:
    keys = Keys(k=ACME)
    keys.open.clear()
    keyring = Keyring(keys, 60)
    callers = [asyncio.create_task(keyring.authenticate(b"Bearer k")) for _ in range(5)]
    await asyncio.sleep(0)
    callers[0].cancel()
    keys.open.set()
    results: list[Any] = await asyncio.gather(*callers[1:])

    assert [(result.tenant, result.role) for result in results] == [ACME[:2]] * 4
    assert keys.looked_up == 1


async def test_without_the_ledger_a_key_that_was_good_is_good_for_a_while() -> None:
    keys = Keys(k=ACME)
    keyring = Keyring(keys, 0, grace_seconds=60)
    principal = await keyring.authenticate(b"Bearer k")
    with pytest.raises(Refusal):
        await keyring.authenticate(b"Bearer other")
    keys.is_away = True

    assert await keyring.authenticate(b"Bearer k") == principal
    for unknown in (b"Bearer other", b"Bearer never-seen"):
        with pytest.raises(ConnectionError):
            await keyring.authenticate(unknown)


@pytest.mark.parametrize(
    ("grace_seconds", "expires_in"), [(0.0, None), (60.0, timedelta(seconds=-1))]
)
async def test_no_grace_outlasts_its_time_or_the_key(
    grace_seconds: float, expires_in: timedelta | None
) -> None:
    expires_at = None if expires_in is None else datetime.now(UTC) + expires_in
    keys = Keys(k=ACME._replace(expires_at=expires_at))
    keyring = Keyring(keys, 0, grace_seconds=grace_seconds)
    await keyring.authenticate(b"Bearer k")
    keys.is_away = True

    with pytest.raises(ConnectionError):
        await keyring.authenticate(b"Bearer k")


async def test_guesses_push_no_good_key_out() -> None:
    keys = Keys(k=ACME)
    keyring = Keyring(keys, 60)
    await keyring.authenticate(b"Bearer k")
    for guess in range(10_001):
        with pytest.raises(Refusal):
            await keyring.authenticate(b"Bearer %d" % guess)
    looked_up = keys.looked_up
    await keyring.authenticate(b"Bearer k")

    assert keys.looked_up == looked_up


async def test_guessed_keys_do_not_fill_the_memory() -> None:
    keyring = Keyring(Keys(), 60)
    for guess in range(10_001):
        with pytest.raises(Refusal):
            await keyring.authenticate(b"Bearer %d" % guess)

    assert len(keyring._known) <= 10_000


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (Role.SENDER, {Permission.SEND, Permission.READ}),
        (Role.READER, {Permission.READ, Permission.LIST}),
        (
            Role.OPERATOR,
            {Permission.SEND, Permission.READ, Permission.LIST, Permission.OPERATE},
        ),
        (Role.ADMIN, set(Permission)),
    ],
)
def test_each_role_may_do_what_it_is_for(
    role: Role, permissions: set[Permission]
) -> None:
    assert PERMISSIONS[role] == permissions
    for permission in Permission:
        if permission in permissions:
            Principal("acme", role).must(permission)
        else:
            with pytest.raises(Refusal) as caught:
                Principal("acme", role).must(permission)
            assert caught.value.problem == ProblemType.FORBIDDEN


def test_without_keys_everyone_is_admin_of_the_default_tenant() -> None:
    assert Principal("default", Role.ADMIN) == EVERYONE


def test_keys_are_long_recognisable_and_different() -> None:
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    for key in keys:
        prefix, _, secret = key.partition("_")
        assert prefix == "tocsin"
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32


@pytest.mark.parametrize("name", ["default", "A-1_b", "x" * 64])
def test_names_that_tenants_may_have(name: str) -> None:
    assert is_tenant(name)


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a.b", "a b", "*", ">", "ä", "a\n", "a/b", "\0"]
)
def test_names_that_would_reach_into_other_tenants(name: str) -> None:
    assert not is_tenant(name)
