"""Receipts in the ledger; the SQL is in ``store.sql``."""

from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from contracts.messages import ReceiptArrived
from contracts.receipts import Receipt, ReceiptKind
from gateway.receipts.readings import ReceiptOutcome
from ops.runtime.ledger import Ledger
from ops.runtime.sql import Statements

SQL = Statements(Path(__file__).with_name("store.sql"))

#: A provider that sends more of one notification has lost its way.
RECEIPTS_AT_MOST = 20

_RECORDED = {
    ReceiptKind.CONFIRMED: ReceiptOutcome.CONFIRMED,
    ReceiptKind.BOUNCED: ReceiptOutcome.BOUNCED,
}


class Recording(NamedTuple):
    """What became of a receipt, and the news that it is when it is new."""

    outcome: ReceiptOutcome
    news: ReceiptArrived | None = None


class ReceiptStore:
    """Keeps receipts. They come without a key, so for whichever tenant has the notification."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def record(self, notification_id: UUID, receipt: Receipt) -> Recording:
        """Put a receipt into the trace of a notification, unless it is there."""
        rows = await self._ledger.fetch(
            SQL.record,
            notification_id,
            receipt.id,
            receipt.at,
            msgspec.json.encode(receipt).decode(),
            receipt.kind,
            RECEIPTS_AT_MOST,
        )
        if not rows:
            return Recording(ReceiptOutcome.UNKNOWN)
        [row] = rows
        if row["recorded"]:
            return Recording(_RECORDED[receipt.kind], _news(row, receipt))
        return Recording(
            ReceiptOutcome.REPEATED if row["repeated"] else ReceiptOutcome.IGNORED
        )


def _news(row: asyncpg.Record, receipt: Receipt) -> ReceiptArrived:
    if row["redacted_at"] is not None:
        receipt = msgspec.structs.replace(receipt, message_id=None)
    return ReceiptArrived(
        notification_id=row["id"],
        tenant=row["tenant"],
        channel=Channel(row["channel"]),
        priority=Priority(row["priority"]),
        status=Status(row["status"]),
        attempts=row["attempts"],
        sequence=row["sequence"],
        status_at=row["updated_at"],
        receipt=receipt,
        correlation_id=row["correlation_id"],
        batch_id=row["batch_id"],
    )
