"""Signs requests as Standard Webhooks say, so that a receiver can tell them from forgeries."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from uuid import UUID

_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: ``whsec_`` and base64, or any other text as it is.

    Raises ``ValueError`` when what follows ``whsec_`` is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {_PREFIX} is not base64") from error


def signature_headers(
    keys: Sequence[bytes], id_: UUID, body: bytes, timestamp: int | None = None
) -> dict[str, str]:
    """Put id, time and body under an HMAC of each key; the time is now when none is given.

    With two keys a receiver may hold either: that is how a secret is changed without a gap.
    """
    moment = str(int(time.time()) if timestamp is None else timestamp)
    signed = f"{id_}.{moment}.".encode() + body
    return {
        "webhook-id": str(id_),
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"
