"""Keys of the public API: how one looks, how it is stored, whose it is, what it may do.

A key is shown once, when it is made; the ledger keeps only its hash. A key carries 256
random bits, so a plain hash is enough: there is nothing to guess.
"""

import hashlib
import re
import secrets
from enum import StrEnum

#: A tenant is one token of a subject, so a wildcard or a dot in it would cross tenants.
TENANT_PATTERN = r"[A-Za-z0-9_-]{1,64}"

#: The tenant of everyone where authentication is off.
DEFAULT_TENANT = "default"

#: Lets people and secret scanners see what a string is.
KEY_PREFIX = "tocsin_"

_TENANT = re.compile(TENANT_PATTERN)


class Role(StrEnum):
    """What the owner of a key is there for."""

    SENDER = "sender"  #: creates notifications and asks after them
    READER = "reader"  #: looks, changes nothing
    OPERATOR = "operator"  #: keeps the mesh running: dead letters, lanes, limits
    ADMIN = "admin"  #: everything


def is_tenant(name: str) -> bool:
    """Say whether ``name`` may be the name of a tenant."""
    return _TENANT.fullmatch(name) is not None


def new_key() -> str:
    """Make a key. Nobody can show it again later."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    """Return what the ledger stores of a key: the SHA-256 of all its characters."""
    return hashlib.sha256(key.encode()).digest()
