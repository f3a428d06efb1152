"""Signs requests as Standard Webhooks say, and tells signed ones from forgeries.

https://www.standardwebhooks.com: an HMAC-SHA256 over id, time and body. The time is signed
too, so that a request somebody has recorded is soon too old to be sent again.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

#: How far the sender's clock and ours may be apart, either way.
TOLERANCE_SECONDS = 300

_PREFIX = "whsec_"
_VERSION = "v1,"


class SignatureRefused(Exception):
    """A request is not signed, not by us or a friend, or too long ago; says which."""


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
    keys: Sequence[bytes], id_: UUID | str, body: bytes, timestamp: int | None = None
) -> dict[str, str]:
    """Put id, time and body under an HMAC of each key; the time is now when none is given.

    With two keys a receiver may hold either: that is how a secret is changed without a gap.
    """
    moment = str(int(time.time()) if timestamp is None else timestamp)
    signed = f"{id_}.{moment}.".encode() + body
    return {
        ID_HEADER: str(id_),
        TIMESTAMP_HEADER: moment,
        SIGNATURE_HEADER: " ".join(_signature(key, signed) for key in keys),
    }


def check_signature(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float
) -> str:
    """Return the id of a request that one of the keys has signed lately.

    Names of headers are in lower case; ``now`` is in seconds since 1970. Raises
    ``SignatureRefused``.
    """
    id_ = headers.get(ID_HEADER, "")
    moment = headers.get(TIMESTAMP_HEADER, "")
    given = headers.get(SIGNATURE_HEADER, "")
    if not id_ or not given:
        raise SignatureRefused("the request is not signed")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        raise SignatureRefused(f"{TIMESTAMP_HEADER} is no time in seconds")
    signed = f"{id_}.{moment}.".encode("utf-8", "surrogateescape") + body
    expected = [_signature(key, signed).encode() for key in keys]
    offered = [word.encode("utf-8", "replace") for word in given.split(" ")]
    # Every pair is compared, so that the time this takes does not say which one fits.
    matches = [hmac.compare_digest(one, other) for one in expected for other in offered]
    if not any(matches):
        raise SignatureRefused("the signature is not right")
    if abs(now - int(moment)) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"{TIMESTAMP_HEADER} is too far from now")
    return id_


def _signature(key: bytes, signed: bytes) -> str:
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"{_VERSION}{base64.b64encode(digest).decode()}"
