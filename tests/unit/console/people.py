"""What a scripted operator looks after: factories with defaults."""

from datetime import datetime, timedelta
from typing import Any

from console.operator import Found, Letter
from contracts.channels import Channel, Priority
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.oversight import masked, recipient_hash
from ops.client import TraceEntry
from tests.unit.console.world import NOON, moment


def notification(**changes: Any) -> Found:
    recipient = changes.pop("to", "+15555550100")
    values: dict[str, Any] = {
        "id": new_id(),
        "channel": Channel.SMS,
        "priority": Priority.NORMAL,
        "status": Status.QUEUED,
        "recipient": masked(Channel.SMS, recipient),
        "recipient_hash": recipient_hash(recipient),
        "attempts": 0,
        "max_attempts": 5,
        "created_at": moment(NOON - 60),
        "updated_at": moment(NOON - 60),
        **changes,
    }
    return Found(**values)


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "id": new_id(),
        "notification_id": new_id(),
        "channel": Channel.SMS,
        "priority": Priority.NORMAL,
        "class_": "permanent",
        "reason": "refused",
        "attempts": 1,
        "failed_at": moment(NOON - 30),
        "state": "open",
        **changes,
    }
    return Letter(**values)


def queued_trace(at: datetime | None = None) -> list[TraceEntry]:
    at = at or moment(NOON - 60)
    return [
        TraceEntry(event="created", created_at=at),
        TraceEntry(event="queued", created_at=at + timedelta(milliseconds=11)),
    ]
