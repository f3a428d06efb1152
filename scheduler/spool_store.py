"""Moves what was accepted while the ledger was away into it; the SQL is in ``spool_store.sql``."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from contracts.spool import SpooledAnswer, SpooledNotification, SpooledSubmission
from ops.runtime.ledger import Connection, Ledger
from ops.runtime.sql import Statements
from scheduler.rows import Group
from scheduler.store import change_of, group_of

SQL = Statements(Path(__file__).with_name("spool_store.sql"))


class WhyCancelled(StrEnum):
    """Why a spooled notification is not sent: its key had an answer the spool did not know."""

    DUPLICATE = "duplicate"  #: to the same body
    KEY_MISMATCH = "idempotency_key_mismatch"  #: to another body


class Moved(NamedTuple):
    """What became of submissions; it is committed."""

    group: Group
    changes: list[StatusChanged]
    stored: int
    cancelled: int  #: of those that were stored
    known: int  #: that the ledger had already


class _Holder(NamedTuple):
    resource_id: UUID
    body_hash: bytes


class _Key(NamedTuple):
    tenant: str
    endpoint: str
    key: str


class SpoolStore:
    """The ledger as the spool's submissions come into it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def move(self, submissions: Sequence[SpooledSubmission]) -> Moved:
        """Store every notification that is not there yet, in one transaction.

        Submissions are moved whole or not at all, and moving one again changes nothing. A
        submission whose idempotency key had an answer already is cancelled as it is stored.
        """
        group_id = new_id()
        async with self._ledger.transaction() as connection:
            holders = await self._hold_keys(connection, submissions)
            notifications = [
                row for one in submissions for row in _notifications(one, holders)
            ]
            batches = [_batch(one) for one in submissions if one.is_batch]
            rows = await connection.fetch(
                SQL.store_spooled,
                group_id,
                *_columns(notifications, 19),
                *_columns(batches, 5),
            )
        queued = [row for row in rows if row["status"] == Status.QUEUED]
        cancelled = sum(row["status"] == Status.CANCELLED for row in rows)
        return Moved(
            group=group_of(group_id, queued),
            changes=[change_of(row) for row in rows],
            stored=len(rows),
            cancelled=cancelled,
            known=len(notifications) - len(rows),
        )

    async def _hold_keys(
        self, connection: Connection, submissions: Iterable[SpooledSubmission]
    ) -> dict[_Key, _Holder]:
        keys = {
            _key(one, one.answer): (
                one.tenant,
                one.answer.endpoint,
                one.answer.key,
                one.answer.body_hash,
                one.id,
                one.answer.response,
                one.correlation_id,
                one.at,
                one.answer.expires_at,
            )
            for one in submissions
            if one.answer is not None
        }
        rows = await connection.fetch(SQL.hold_keys, *_columns(list(keys.values()), 9))
        return {
            _Key(row["tenant"], row["endpoint"], row["key"]): _Holder(
                row["resource_id"], row["body_hash"]
            )
            for row in rows
        }


def _key(submission: SpooledSubmission, answer: SpooledAnswer) -> _Key:
    return _Key(submission.tenant, answer.endpoint, answer.key)


def _notifications(
    submission: SpooledSubmission, holders: dict[_Key, _Holder]
) -> list[tuple[Any, ...]]:
    """Return the rows of a submission, in the order of the statement's parameters."""
    answer = submission.answer
    duplicate_of, why = None, None
    if answer is not None:
        holder = holders[_key(submission, answer)]
        if holder.resource_id != submission.id:
            duplicate_of = holder.resource_id
            is_same = holder.body_hash == answer.body_hash
            why = WhyCancelled.DUPLICATE if is_same else WhyCancelled.KEY_MISMATCH
    key = None if answer is None or submission.is_batch else answer.key
    return [
        (*_row(submission, one, key), duplicate_of, why)
        for one in submission.notifications
    ]


def _row(
    submission: SpooledSubmission, one: SpooledNotification, key: str | None
) -> tuple[Any, ...]:
    return (
        one.id,
        submission.tenant,
        one.channel,
        one.priority,
        one.max_attempts,
        one.recipient,
        one.subject,
        one.content,
        submission.correlation_id,
        one.traceparent,
        submission.id if submission.is_batch else None,
        key,
        one.metadata,
        one.due_at,
        one.scheduled_at,
        one.expires_at,
        one.template_id,
    )


def _batch(submission: SpooledSubmission) -> tuple[Any, ...]:
    return (
        submission.id,
        submission.tenant,
        len(submission.notifications),
        submission.notifications[-1].id,
        submission.correlation_id,
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) or [()] * width
