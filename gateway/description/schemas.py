"""JSON Schemas of our structs, as msgspec makes them, told more exactly.

A struct that answers leaves out what is not set, so its fields are never null. A struct
that asks is looser than what is accepted, so that each mistake gets a problem of its own;
``FIELDS`` says what each of its fields may be.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from contracts import limits
from contracts.channels import Channel, Priority
from contracts.outcomes import FailureClass
from gateway.description.operations import UUID, Schema
from gateway.requests import BatchRequest, NotificationRequest, TemplateRequest
from gateway.validation import DEFAULT_MAX_ATTEMPTS, MAX_ATTEMPTS_LIMIT
from gateway.views import NotificationView, StatusView, TraceEntry

REF = "#/components/schemas/{name}"

#: Where leaving out "View" would leave the name of something else.
_NAMES = {StatusView.__name__: "Change"}

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

#: What msgspec cannot know of a field of an answer.
_ANSWERS: dict[type, dict[str, Schema]] = {
    NotificationView: {
        "metadata": {"type": "object"},
        "failure_class": {"enum": [str(class_) for class_ in FailureClass]},
        "attempts": {"type": "integer", "minimum": 0},
    },
    TraceEntry: {"details": {"type": "object"}},
}


def components(types: Iterable[type]) -> dict[str, Schema]:
    """Return the schemas of structs and of all they refer to, by name."""
    _, made = msgspec.json.schema_components(
        sorted(types, key=lambda type_: type_.__name__), ref_template=REF
    )
    for type_, fields in _ANSWERS.items():
        if type_.__name__ in made:
            made[type_.__name__]["properties"] |= fields
    requests = _requests(made)
    answers = {
        name: _never_null(schema)
        for name, schema in made.items()
        if name not in requests
    }
    named = {
        _name(name): _tidy(schema) for name, schema in (answers | requests).items()
    }
    return dict(sorted(named.items()))


def ref(type_: type) -> Schema:
    """Return a reference to the schema of a struct."""
    return {"$ref": REF.format(name=_name(type_.__name__))}


def _name(of_struct: str) -> str:
    return _NAMES.get(of_struct, of_struct.removesuffix("View"))


def _requests(made: dict[str, Schema]) -> dict[str, Schema]:
    requests: dict[str, Schema] = {}
    name = NotificationRequest.__name__
    if name in made:
        requests |= _notification_request(made[name])
    if BatchRequest.__name__ in made:
        requests[BatchRequest.__name__] = {
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
    if TemplateRequest.__name__ in made:
        requests[TemplateRequest.__name__] = {
            **made[TemplateRequest.__name__],
            **_TEMPLATE,
        }
    return requests


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


def _never_null(schema: Schema) -> Schema:
    properties = {
        name: _present(field) for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _present(field: Schema) -> Schema:
    if "default" not in field:
        return field
    if "anyOf" not in field:
        return {key: value for key, value in field.items() if key != "default"}
    [only] = [choice for choice in field["anyOf"] if choice != {"type": "null"}]
    return dict(only)


def _tidy(value: Any) -> Any:
    """Rename references, keep the first paragraph of a docstring, on one line."""
    if isinstance(value, dict):
        tidied = {key: _tidy(item) for key, item in value.items()}
        if isinstance(reference := tidied.get("$ref"), str):
            tidied["$ref"] = REF.format(name=_name(reference.rpartition("/")[2]))
        if isinstance(text := tidied.get("description"), str):
            tidied["description"] = " ".join(text.split())
        return tidied
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value
