"""Twilio's status callbacks: a form, signed over the URL that Twilio was given.

https://www.twilio.com/docs/usage/security: HMAC-SHA1 with the account's auth token over the
URL and then every parameter, sorted, its name and its value without anything between.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import parse_qsl
from uuid import UUID

from contracts.problems import ProblemType
from contracts.receipts import (
    CODE_PATTERN,
    NOTIFICATION_PARAMETER,
    Receipt,
    ReceiptKind,
)
from gateway.errors import Refusal
from gateway.receipts.readings import Told, receipt_id
from gateway.validation import parse_uuid

_FIELDS_AT_MOST = 200
_USUAL_PORTS = {"http": ":80", "https": ":443"}
_PORT = re.compile(r":[0-9]+$")
_KINDS = {
    "delivered": ReceiptKind.CONFIRMED,
    "read": ReceiptKind.CONFIRMED,
    "undelivered": ReceiptKind.BOUNCED,
    "failed": ReceiptKind.BOUNCED,
}
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")
_CODE = re.compile(CODE_PATTERN)

Fields = Sequence[tuple[str, str]]


def read_form(body: bytes) -> Fields:
    """Return the fields of a form, as they were before they were encoded."""
    try:
        return parse_qsl(
            body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_FIELDS_AT_MOST,
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise Refusal(ProblemType.MALFORMED_BODY, "the body is no form") from error


def sign(token: str, url: str, fields: Fields) -> bytes:
    """Return the signature of a request to ``url``."""
    # A field that comes twice with one value counts once, as in Twilio's own libraries.
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.digest(token.encode(), signed.encode(), hashlib.sha1)
    return base64.b64encode(digest)


def is_signed(tokens: Iterable[str], url: str, fields: Fields, given: bytes) -> bool:
    """Say whether one of the auth tokens has signed the request.

    Twilio may or may not write down the port that a scheme has anyway.
    """
    matches = [
        hmac.compare_digest(sign(token, each, fields), given)
        for token in tokens
        for each in _spellings(url)
    ]
    return any(matches)


def _spellings(url: str) -> list[str]:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    usual = _USUAL_PORTS[scheme]
    bare = host.removesuffix(usual)
    if _PORT.search(bare):
        return [url]
    return [f"{scheme}://{each}/{path}" for each in (bare, bare + usual)]


def read(provider: str, query: bytes, fields: Fields, now: datetime) -> Told:
    """Read a callback whose signature is right.

    Its time is ``now``: Twilio gives none but, of some carriers, one to the minute in a
    zone that it does not name.
    """
    said = dict(fields)
    id_ = _notification_id(query)
    kind = _KINDS.get(said.get("MessageStatus", ""))
    sid = said.get("MessageSid", "")
    if kind is None or not _SID.fullmatch(sid):
        return Told(id_, None)
    code = said.get("ErrorCode", "")
    receipt = Receipt(
        kind=kind,
        at=now,
        provider=provider,
        code=code if _CODE.fullmatch(code) else None,
        message_id=sid,
        id=receipt_id(provider, f"{sid}:{said['MessageStatus']}"),
    )
    return Told(id_, receipt)


def _notification_id(query: bytes) -> UUID | None:
    for name, value in parse_qsl(query.decode("latin-1")):
        if name == NOTIFICATION_PARAMETER:
            return parse_uuid(value)
    return None
