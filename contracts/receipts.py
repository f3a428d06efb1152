"""Receipts: what a provider tells of a notification after it has accepted it.

A receipt changes no status: ``delivered`` means that a provider has accepted, and stays so
whatever becomes of it there. The generic form is a Standard Webhook: ``ReceiptWebhook`` as JSON, signed.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from contracts.times import UtcTime

#: Longer ones are refused; no provider's is near it.
RECEIPT_AT_MOST_BYTES = 16 << 10

#: In the URL of a callback that carries no id of ours otherwise: whose receipt it is.
NOTIFICATION_PARAMETER = "notification"

#: The shape of a provider's code, as in ``30003`` or ``550 5.1.1``: no place for a recipient.
CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}$"


class ReceiptKind(StrEnum):
    """What became of what the provider had accepted."""

    CONFIRMED = "confirmed"  #: it reached the handset, the mailbox, the device
    BOUNCED = "bounced"  #: it came back, or was dropped on the way


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One receipt, as the ledger keeps it and clients see it.

    Of several, the one with the greatest ``rank`` is shown: the newest by its provider's
    clock, whichever came first.
    """

    kind: ReceiptKind
    at: UtcTime  #: when it happened, by the provider's clock; when it came, if it gives none
    provider: str  #: the name in the path it came to
    code: str | None = None  #: the provider's, as of a bounce
    message_id: str | None = None  #: the provider's own id of what it tells of
    id: UUID  #: the same each time the provider sends it

    @property
    def rank(self) -> tuple[datetime, UUID]:
        """Return what puts receipts in order; no two have the same."""
        return self.at, self.id


class ReceiptData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose receipt it is, and what the provider adds."""

    notification_id: UUID
    """Ours: the ``Idempotency-Key`` of the request that the provider accepted."""
    message_id: Annotated[str, Meta(max_length=128)] | None = None
    code: Annotated[str, Meta(pattern=CODE_PATTERN)] | None = None


class ReceiptWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt in the generic form. Types other than ``receipt.…`` of a kind are ignored."""

    type: str  #: ``receipt.confirmed`` or ``receipt.bounced``
    timestamp: UtcTime  #: when it happened
    data: ReceiptData


TYPES = {f"receipt.{kind}": kind for kind in ReceiptKind}
