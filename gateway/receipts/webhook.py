"""The generic form: a Standard Webhook that tells of one notification, by our id of it."""

import msgspec

from contracts.problems import ProblemType
from contracts.receipts import TYPES, Receipt, ReceiptWebhook
from contracts.signatures import SignatureRefused, check_signature, signing_key
from gateway.receipts.readings import Told, receipt_id, unsigned
from gateway.receipts.sources import ReceiptSource
from gateway.requests import decode, in_utc


class _Kind(msgspec.Struct):
    """Of any webhook at all."""

    type: str


_decode_kind = msgspec.json.Decoder(_Kind)
_decode_body = msgspec.json.Decoder(ReceiptWebhook)


def check(
    source: ReceiptSource, headers: dict[bytes, bytes], body: bytes, now: float
) -> str:
    """Return the id of a webhook that is signed and recent, or raise ``unauthorized``."""
    words = {
        name.decode("latin-1"): value.decode("utf-8", "surrogateescape")
        for name, value in headers.items()
        if name.startswith(b"webhook-")
    }
    keys = [signing_key(secret) for secret in source.secrets]
    try:
        return check_signature(keys, words, body, now)
    except SignatureRefused as error:
        raise unsigned(str(error)) from error


def read(provider: str, webhook_id: str, body: bytes) -> Told:
    """Read a webhook whose signature is right; ``malformed-body`` when it tells nothing.

    A type that is none of ours may have any data.
    """
    kind = TYPES.get(decode(_decode_kind, body).type)
    if kind is None:
        return Told(None, None)
    told = decode(_decode_body, body)
    receipt = Receipt(
        kind=kind,
        at=in_utc(told.timestamp, ProblemType.MALFORMED_BODY, "/timestamp"),
        provider=provider,
        code=told.data.code,
        message_id=told.data.message_id,
        id=receipt_id(provider, webhook_id),
    )
    return Told(told.data.notification_id, receipt)
