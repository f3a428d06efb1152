"""What is read of a receipt, whichever form it had."""

from enum import StrEnum
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from contracts.problems import ProblemType
from contracts.receipts import Receipt
from gateway.errors import Refusal


class ReceiptOutcome(StrEnum):
    """What became of a receipt whose signature was right."""

    CONFIRMED = "confirmed"  #: it is in the trace
    BOUNCED = "bounced"  #: it is in the trace
    REPEATED = "repeated"  #: it was in the trace already
    UNKNOWN = "unknown"  #: there is no such notification (any more)
    IGNORED = "ignored"  #: it tells nothing that is kept


#: Receipts that no provider repeats are told apart by these ids, the same at every gateway.
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:tocsin:receipt")


class Told(NamedTuple):
    """A receipt, and whose it is; ``receipt`` is None when it tells nothing that is kept."""

    notification_id: UUID | None  #: None when it does not say
    receipt: Receipt | None


def receipt_id(provider: str, repeated_as: str) -> UUID:
    """Return the id of a receipt, by what stays the same when a provider sends it again."""
    name = f"{provider}\n{repeated_as}"
    # a header may hold bytes that are no text
    return uuid5(_NAMESPACE, name.encode(errors="backslashreplace").decode())


def unsigned(detail: str) -> Refusal:
    """Return the refusal of what is not shown to come from the provider."""
    return Refusal(
        ProblemType.UNAUTHORIZED, detail, headers=[(b"www-authenticate", b"Signature")]
    )
