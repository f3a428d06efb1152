"""Makes the AsyncAPI 3 document: what Tocsin says on the bus, and what it answers there."""

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts import messages, subjects
from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.mesh import ServiceState
from contracts.messages import (
    DeadLettered,
    OperatorActed,
    ReceiptArrived,
    StatusChanged,
)
from contracts.oversight import Action
from contracts.problems import Problem
from contracts.receipts import ReceiptKind
from contracts.topology import DLQ, STATUS, Stream
from gateway.description import examples
from gateway.description.operations import Schema
from gateway.description.schemas import components, ref
from gateway.ingest import QUEUE_GROUP
from gateway.requests import BatchRequest, NotificationRequest
from gateway.views import BatchAccepted, NotificationView

_ABOUT = """\
What Tocsin says on the bus (NATS), and the requests it answers there.

Readers ignore fields they do not know. `type` names the version of a message; a breaking \
change is a new name, sent beside the old one for a while.
"""

_PARAMETERS: Mapping[str, Schema] = {
    "tenant": {"description": "Whose notification it is: one token."},
    "channel": {
        "description": "The medium it travels by.",
        "enum": [str(channel) for channel in Channel],
    },
    "priority": {
        "description": "How urgent it is.",
        "enum": [str(priority) for priority in Priority],
    },
    "status": {
        "description": "The new status.",
        "enum": [str(status) for status in Status],
    },
    "kind": {
        "description": "What the receipt says.",
        "enum": [str(kind) for kind in ReceiptKind],
    },
    "notification_id": {"description": "The id of the notification."},
    "service": {"description": "The name of the service."},
    "instance": {"description": "The name of the process among its like."},
    "subject": {"description": "What it is done to."},
    "change": {"description": "What is done, in the past tense."},
}


def _addresses() -> dict[str, str]:
    """Return the address of each channel, spelled by the functions that spell subjects."""
    word: Any = "{{{}}}".format  # the functions only write their arguments down
    lane = Lane(word("channel"), word("priority"))
    return {
        "status": subjects.status(
            word("tenant"), word("channel"), word("status"), word("notification_id")
        ),
        "receipts": subjects.receipt(
            word("tenant"), word("channel"), word("kind"), word("notification_id")
        ),
        "deadLetters": subjects.dead_letter(lane),
        "meshState": subjects.mesh_state(word("service"), word("instance")),
        "meshAction": subjects.mesh_action(f"{word('subject')}.{word('change')}"),
        "create": subjects.CREATE,
        "createBatch": subjects.CREATE_BATCH,
        "createOfTenant": subjects.create(word("tenant")),
        "createBatchOfTenant": subjects.create(word("tenant"), batch=True),
    }


_REQUEST_HEADERS: Schema = {
    "type": "object",
    "properties": {
        messages.AUTHORIZATION_HEADER: {
            "type": "string",
            "description": "`Bearer` and an API key. Not needed where authentication is "
            "off, nor where the bus' permissions vouch for the subject's tenant.",
        },
        messages.IDEMPOTENCY_HEADER: {
            "type": "string",
            "maxLength": 255,
            "description": "As over HTTP, and good on both ways.",
        },
        messages.CORRELATION_HEADER: {"type": "string", "pattern": "^[!-~]{1,128}$"},
        messages.TRACEPARENT_HEADER: {"type": "string"},
    },
}
_ACCEPTED_HEADERS: Schema = {
    "type": "object",
    "properties": {
        messages.CORRELATION_HEADER: {"type": "string"},
        messages.LOCATION_HEADER: {
            "type": "string",
            "description": "Where it can be looked at over HTTP.",
        },
        messages.REPLAY_HEADER: {
            "const": "true",
            "description": "This is the answer to an earlier request with the same key.",
        },
    },
    "required": [messages.CORRELATION_HEADER],
}
_PROBLEM_HEADERS: Schema = {
    "type": "object",
    "properties": {
        messages.CORRELATION_HEADER: {"type": "string"},
        "Nats-Service-Error": {
            "type": "string",
            "description": "The title of the problem.",
        },
        "Nats-Service-Error-Code": {
            "type": "string",
            "description": "The status of the problem, as over HTTP.",
        },
        messages.RETRY_AFTER_HEADER: {"type": "string"},
    },
    "required": [
        messages.CORRELATION_HEADER,
        "Nats-Service-Error",
        "Nats-Service-Error-Code",
    ],
}


def document() -> Schema:
    """Return the whole document."""
    types = {
        StatusChanged,
        ReceiptArrived,
        DeadLettered,
        ServiceState,
        OperatorActed,
        Problem,
        NotificationRequest,
        BatchRequest,
        NotificationView,
        BatchAccepted,
    }
    addresses = _addresses()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tocsin on the bus",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "status": _channel(
                addresses["status"],
                "Every change of status, right after it was stored." + _kept(STATUS),
                "statusChanged",
            ),
            "receipts": _channel(
                addresses["receipts"],
                "What providers told of notifications they had accepted; no status "
                "changes by it." + _kept(STATUS),
                "receiptArrived",
            ),
            "deadLetters": _channel(
                addresses["deadLetters"],
                "Notifications that were given up." + _kept(DLQ),
                "deadLettered",
            ),
            "meshState": _channel(
                addresses["meshState"],
                "What every running service says of itself, once a second.",
                "serviceState",
            ),
            "meshAction": _channel(
                addresses["meshAction"],
                "What operators did, once it is done: "
                + ", ".join(f"`{action}`" for action in Action)
                + ". Told at least once; the audit keeps it.",
                "operatorActed",
            ),
            **{
                name: _request_channel(name, address)
                for name, address in addresses.items()
                if name.startswith("create")
            },
        },
        "operations": {
            "announceStatus": _send("status", "statusChanged"),
            "announceReceipt": _send("receipts", "receiptArrived"),
            "announceDeadLetter": _send("deadLetters", "deadLettered"),
            "announceState": _send("meshState", "serviceState"),
            "announceAction": _send("meshAction", "operatorActed"),
            **{name: _answer(name) for name in addresses if name.startswith("create")},
        },
        "components": {
            "messages": _messages(),
            "schemas": components(types),
        },
    }


def _kept(stream: Stream) -> str:
    days = stream.max_age_seconds / 86400
    return f" The stream {stream.name} keeps them for {days:g} days."


def _channel(address: str, description: str, *names: str) -> Schema:
    made: Schema = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }
    words = [token[1:-1] for token in address.split(".") if token.startswith("{")]
    if words:
        made["parameters"] = {word: _PARAMETERS[word] for word in words}
    return made


def _request_channel(name: str, address: str) -> Schema:
    batch = name.startswith("createBatch")
    what = "up to 1,000 notifications, all or none" if batch else "a notification"
    whose = (
        "the subject names; the bus' permissions or the key say who may"
        if name.endswith("OfTenant")
        else "of the key in the request"
    )
    made = _channel(
        address,
        f"Ask for {what}, of the tenant {whose}. One gateway answers.",
        "batchRequested" if batch else "notificationRequested",
        *_replies(batch),
    )
    made["bindings"] = {"nats": {"bindingVersion": "0.1.0"}}
    return made


def _replies(batch: bool) -> tuple[str, str]:
    return ("batchAccepted" if batch else "notificationAccepted", "problem")


def _send(channel: str, message: str) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _answer(channel: str) -> Schema:
    batch = channel.startswith("createBatch")
    asked = "batchRequested" if batch else "notificationRequested"
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{asked}"}],
        "bindings": {"nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}},
        "reply": {
            "messages": [
                {"$ref": f"#/channels/{channel}/messages/{name}"}
                for name in _replies(batch)
            ],
        },
    }


def _messages() -> dict[str, Schema]:
    return {
        "statusChanged": _message(StatusChanged, "A notification has a new status."),
        "receiptArrived": _message(ReceiptArrived, "A provider told more."),
        "deadLettered": _message(DeadLettered, "A notification was given up."),
        "serviceState": _message(ServiceState, "The state of one process."),
        "operatorActed": _message(
            OperatorActed,
            "An operator changed something.",
            example=examples.OPERATOR_ACTED,
        ),
        "notificationRequested": _message(
            NotificationRequest,
            "One notification is asked for.",
            headers=_REQUEST_HEADERS,
            example=examples.SMS,
        ),
        "batchRequested": _message(
            BatchRequest,
            "Many are asked for, all or none.",
            headers=_REQUEST_HEADERS,
            example={"notifications": [examples.SMS]},
        ),
        "notificationAccepted": _message(
            NotificationView,
            "It is stored.",
            headers=_ACCEPTED_HEADERS,
            example=examples.ACCEPTED,
        ),
        "batchAccepted": _message(
            BatchAccepted,
            "All are stored.",
            headers=_ACCEPTED_HEADERS,
            example=examples.BATCH_ACCEPTED,
        ),
        "problem": _message(Problem, "It was refused.", headers=_PROBLEM_HEADERS),
    }


def _message(
    type_: type, summary: str, *, headers: Schema | None = None, example: Any = None
) -> Schema:
    made: Schema = {"summary": summary, "payload": ref(type_)}
    if headers is not None:
        made["headers"] = headers
    if example is not None:
        payload = msgspec.json.decode(msgspec.json.encode(example))
        made["examples"] = [{"payload": payload}]
    return made
