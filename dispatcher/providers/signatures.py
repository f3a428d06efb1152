"""Signs requests as Standard Webhooks say, so that a receiver can tell them from forgeries."""

import base64
import binascii
import hashlib
import hmac
import time
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
    key: bytes, id_: UUID, body: bytes, timestamp: int | None = None
) -> dict[str, str]:
    """Put id, time and body under one HMAC; the time is now when none is given."""
    moment = str(int(time.time()) if timestamp is None else timestamp)
    signed = f"{id_}.{moment}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256)
    return {
        "webhook-id": str(id_),
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
