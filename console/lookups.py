"""What an operator types to look a notification up, and what the feed knows of it."""

import re
from collections.abc import Iterable
from uuid import UUID

from console.model.views import FeedLine
from console.operator import Sought, Trace
from contracts.messages import StatusChanged
from contracts.oversight import recipient_hash
from ops.client import TraceEntry

_HASH = re.compile(r"[0-9a-f]{16}")
_RECIPIENT = re.compile(r"\+\d{4,15}|\S+@\S+")


def read_sought(text: str) -> Sought | None:
    """Read an id, the hash of a recipient, a recipient, or else an idempotency key.

    ``key:``, ``hash:`` and ``to:`` before it say what it is. A recipient is hashed here and
    never sent. None when nothing was typed.
    """
    text = text.strip()
    kind, colon, rest = text.partition(":")
    if colon and rest:
        match kind:
            case "key":
                return Sought(idempotency_key=rest)
            case "hash":
                return Sought(recipient_hash=rest.lower())
            case "to":
                return Sought(recipient_hash=recipient_hash(rest))
    try:
        return Sought(id=UUID(text))
    except ValueError:
        pass
    if _HASH.fullmatch(text.lower()):
        return Sought(recipient_hash=text.lower())
    if _RECIPIENT.fullmatch(text):
        return Sought(recipient_hash=recipient_hash(text))
    return Sought(idempotency_key=text) if text else None


def in_words(sought: Sought) -> str:
    """Name what is sought; a recipient by its hash alone."""
    if sought.id is not None:
        return f"id {sought.id}"
    if sought.idempotency_key is not None:
        return f"idempotency key {sought.idempotency_key}"
    return f"recipient hash {sought.recipient_hash}"


def changes_of(id_: UUID, feed: Iterable[FeedLine]) -> list[StatusChanged]:
    """Return what the feed told of a notification, oldest first."""
    subject = str(id_)
    changes = [line.change for line in feed if line.subject == subject and line.change]
    return sorted(changes, key=lambda change: change.sequence)


def heard_trace(id_: UUID, changes: Iterable[StatusChanged]) -> Trace:
    """Make a trace of what was heard; what came before the console listened is missing."""
    return Trace(notification_id=id_, entries=[_entry_of(change) for change in changes])


def _entry_of(change: StatusChanged) -> TraceEntry:
    details = {
        "attempt": change.attempts or None,
        "provider": change.provider,
        "outcome": change.failure_class,
    }
    return TraceEntry(
        event=change.status,
        created_at=change.at,
        details={name: value for name, value in details.items() if value is not None},
    )
