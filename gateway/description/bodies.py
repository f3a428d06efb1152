"""What requests must have beyond what their structs say.

A struct that asks is looser than what is accepted, so that each mistake gets a problem of
its own; here is what each of its fields may be.
"""

from contracts import limits
from contracts.channels import Channel, Priority
from contracts.controls import RATE_AT_MOST, BreakerOrder
from contracts.operations import (
    DEFAULT_RATE_PER_SECOND,
    RATE_AT_MOST_PER_SECOND,
    REASON_AT_MOST_CHARACTERS,
    LetterFilter,
)
from gateway.description.operations import REF, UUID, Schema
from gateway.letter_requests import ErasureBody, LettersBody
from gateway.ops_requests import LimitBody, OrderBody, ReasonBody
from gateway.requests import BatchRequest, NotificationRequest, TemplateRequest
from gateway.validation import DEFAULT_MAX_ATTEMPTS, MAX_ATTEMPTS_LIMIT

_NONE: Schema = {"type": "null"}
_TIME_OR_NONE: Schema = {"anyOf": [{"type": "string", "format": "date-time"}, _NONE]}
_UUID_OR_NONE: Schema = {"anyOf": [UUID, _NONE]}

#: What a field of a request may be, where it may be absent.
FIELDS: dict[str, Schema] = {
    "priority": {
        "description": "How urgent it is.",
        "enum": [*(str(priority) for priority in Priority), None],
        "default": str(Priority.NORMAL),
    },
    "subject": {
        "description": "The subject of an email: one line of at most"
        f" {limits.SUBJECT_AT_MOST_BYTES} bytes.",
        "type": ["string", "null"],
        "maxLength": limits.SUBJECT_AT_MOST_BYTES,
        "pattern": r"^[^\u0000-\u001f\u007f]*$",
    },
    "template_id": {
        "description": "The template to make the content from, in place of `content`.",
        **_UUID_OR_NONE,
    },
    "template_variables": {
        "description": "What the template's placeholders stand for.",
        "type": ["object", "null"],
    },
    "metadata": {
        "description": "Kept beside it and shown with it: at most"
        f" {limits.METADATA_AT_MOST_BYTES} bytes as JSON.",
        "type": ["object", "null"],
    },
    "scheduled_at": {
        "description": "When to send it; a time that has passed means now.",
        **_TIME_OR_NONE,
    },
    "expires_at": {
        "description": "It is not sent after this time, and fails as `expired`.",
        **_TIME_OR_NONE,
    },
    "max_attempts": {
        "description": "How often a provider is asked before it is given up.",
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": MAX_ATTEMPTS_LIMIT,
        "default": DEFAULT_MAX_ATTEMPTS,
    },
    "callback_url": {
        "description": "Reserved.",
        "type": ["string", "null"],
    },
}

#: The controls are spaces to Python but not to ECMA-262, which patterns here are read by.
_NEITHER_AT_NOR_SPACE = r"[^@\s\u001c-\u001f\u0085]"

_RECIPIENTS: dict[Channel, Schema] = {
    Channel.SMS: {
        "description": "A telephone number with its country code (E.164).",
        "pattern": r"^\+[1-9][0-9]{1,14}$",
    },
    Channel.EMAIL: {
        "description": "An email address.",
        "pattern": f"^{_NEITHER_AT_NOR_SPACE}+@{_NEITHER_AT_NOR_SPACE}+\\.{_NEITHER_AT_NOR_SPACE}+$",
    },
    Channel.PUSH: {"description": "A device token.", "minLength": 1},
}

_TEMPLATE: Schema = {
    "properties": {
        "name": {
            "description": "No other template has it; spaces around it do not count.",
            "type": "string",
            "maxLength": limits.TEMPLATE_NAME_AT_MOST_CHARACTERS,
            "pattern": r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f\u0085]"
            r"[^\u0000-\u001f\u007f]*$",
        },
        "channel": {
            "description": "The channel it is for.",
            "enum": [str(channel) for channel in Channel],
        },
        "body": {
            "description": "What it says: at most"
            f" {limits.TEMPLATE_AT_MOST_BYTES} bytes in UTF-8.",
            "type": "string",
            "minLength": 1,
            "maxLength": limits.TEMPLATE_AT_MOST_BYTES,
        },
        "subject": {
            "description": "The subject of an email; no other channel has one.",
            "type": ["string", "null"],
            "maxLength": limits.TEMPLATE_AT_MOST_BYTES,
        },
    },
    "required": ["name", "channel", "body"],
    "anyOf": [
        {"properties": {"channel": {"const": str(Channel.EMAIL)}}},
        {"properties": {"subject": {"enum": ["", None]}}},
    ],
}

_REASON: Schema = {
    "description": "Why, for the record.",
    "type": "string",
    "maxLength": REASON_AT_MOST_CHARACTERS,
}
_REASON_OR_DRY_RUN: Schema = {
    "anyOf": [
        {
            "properties": {"reason": {"pattern": r"[^\s\u001c-\u001f\u0085]"}},
            "required": ["reason"],
        },
        {"properties": {"dry_run": {"const": True}}, "required": ["dry_run"]},
    ]
}
_LETTERS: Schema = {
    "properties": {
        "filter": {"$ref": REF.format(name=LetterFilter.__name__)},
        "all": {
            "description": "All there are, in place of a filter.",
            "type": "boolean",
            "default": False,
        },
        "reason": _REASON,
        "rate_per_second": {
            "description": "How fast a replay goes.",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": RATE_AT_MOST_PER_SECOND,
            "default": DEFAULT_RATE_PER_SECOND,
        },
        "dry_run": {"type": "boolean", "default": False},
    },
    "allOf": [
        _REASON_OR_DRY_RUN,
        {
            "anyOf": [
                {
                    "properties": {
                        "all": {"const": False},
                        "filter": {"minProperties": 1},
                    },
                    "required": ["filter"],
                },
                {
                    "properties": {
                        "all": {"const": True},
                        "filter": {"maxProperties": 0},
                    },
                    "required": ["all"],
                },
            ]
        },
    ],
}
_ERASURE: Schema = {
    "properties": {
        "recipient": {
            "description": "Whom to erase, exactly.",
            "type": "string",
            "pattern": r"[^\s\u001c-\u001f\u0085]",
        },
        "reason": _REASON,
        "dry_run": {"type": "boolean", "default": False},
    },
    "required": ["recipient"],
    **_REASON_OR_DRY_RUN,
}

_WHY: Schema = {**_REASON, "pattern": r"[^\s\u001c-\u001f\u0085]"}
_REASON_BODY: Schema = {"properties": {"reason": _WHY}, "required": ["reason"]}
_ORDER: Schema = {
    "properties": {
        "order": {
            "description": "What the breaker is to do: `open` holds until `reset`.",
            "enum": [str(order) for order in BreakerOrder],
        },
        "reason": _WHY,
    },
    "required": ["order", "reason"],
}
_LIMIT: Schema = {
    "properties": {
        "per_second": {
            "description": "Messages a second; 0 is unlimited.",
            "type": "number",
            "minimum": 0,
            "maximum": RATE_AT_MOST,
        },
        "reason": _WHY,
    },
    "required": ["per_second", "reason"],
}

#: What a body must have beyond what its struct says.
_BODIES: dict[type, Schema] = {
    TemplateRequest: _TEMPLATE,
    LettersBody: _LETTERS,
    ErasureBody: _ERASURE,
    LetterFilter: {},
    ReasonBody: _REASON_BODY,
    OrderBody: _ORDER,
    LimitBody: _LIMIT,
}


def requests(made: dict[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of requests, from those msgspec has made of their structs."""
    told: dict[str, Schema] = {}
    name = NotificationRequest.__name__
    if name in made:
        told |= _notification_request(made[name])
    if BatchRequest.__name__ in made:
        told[BatchRequest.__name__] = {
            **made[BatchRequest.__name__],
            "properties": {
                "notifications": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": limits.BATCH_AT_MOST_ITEMS,
                    "items": {"$ref": REF.format(name=name)},
                }
            },
            "required": ["notifications"],
        }
    for type_, more in _BODIES.items():
        if type_.__name__ in made:
            told[type_.__name__] = {**made[type_.__name__], **more}
    return told


def _notification_request(made: Schema) -> dict[str, Schema]:
    """Tell the channels apart: what may be said, and to whom, is another for each."""
    optional = {
        name: FIELDS[name]
        for name in made["properties"]
        if name not in {"channel", "recipient", "content"}
    }
    variants = {
        f"{channel.capitalize()}NotificationRequest": {
            "type": "object",
            "properties": {
                "channel": {
                    "description": "How it travels; case and spaces around it do not"
                    " matter.",
                    "const": str(channel),
                },
                "recipient": {
                    "type": "string",
                    "maxLength": limits.RECIPIENT_AT_MOST_BYTES[channel],
                    **_RECIPIENTS[channel],
                },
                "content": {
                    "description": "What it says: at most"
                    f" {limits.CONTENT_AT_MOST_BYTES[channel]} bytes in UTF-8.",
                    "type": ["string", "null"],
                    "minLength": 1,
                    "maxLength": limits.CONTENT_AT_MOST_BYTES[channel],
                },
                **optional,
            },
            "required": ["channel", "recipient"],
            "anyOf": [
                {
                    "properties": {"content": {"type": "string"}},
                    "required": ["content"],
                },
                {"properties": {"template_id": UUID}, "required": ["template_id"]},
            ],
        }
        for channel in Channel
    }
    choice: Schema = {
        "title": made["title"],
        "description": made["description"],
        "oneOf": [{"$ref": REF.format(name=name)} for name in variants],
        "discriminator": {
            "propertyName": "channel",
            "mapping": {
                str(channel): REF.format(name=name)
                for channel, name in zip(Channel, variants, strict=True)
            },
        },
    }
    return {made["title"]: choice, **variants}
