"""JSON Schemas of our structs, as msgspec makes them, told more exactly.

A struct that answers leaves out what is not set, so its fields are never null. A struct
that asks is looser than what is accepted, so that each mistake gets a problem of its own;
``FIELDS`` says what each of its fields may be.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from contracts.outcomes import FailureClass
from gateway.description.bodies import requests
from gateway.description.operations import REF, Schema
from gateway.letter_views import OperationView
from gateway.views import NotificationView, StatusView, TraceEntry

#: Where leaving out "View" would leave the name of something else.
_NAMES = {StatusView.__name__: "Change"}

#: What msgspec cannot know of a field of an answer.
_ANSWERS: dict[type, dict[str, Schema]] = {
    NotificationView: {
        "metadata": {"type": "object"},
        "failure_class": {"enum": [str(class_) for class_ in FailureClass]},
        "attempts": {"type": "integer", "minimum": 0},
    },
    TraceEntry: {"details": {"type": "object"}},
    OperationView: {"filter": {"type": "object"}},
}


def components(types: Iterable[type]) -> dict[str, Schema]:
    """Return the schemas of structs and of all they refer to, by name."""
    _, made = msgspec.json.schema_components(
        sorted(types, key=lambda type_: type_.__name__), ref_template=REF
    )
    for type_, fields in _ANSWERS.items():
        if type_.__name__ in made:
            made[type_.__name__]["properties"] |= fields
    asked = requests(made)
    answers = {
        name: _never_null(schema) for name, schema in made.items() if name not in asked
    }
    named = {_name(name): _tidy(schema) for name, schema in (answers | asked).items()}
    return dict(sorted(named.items()))


def ref(type_: type) -> Schema:
    """Return a reference to the schema of a struct."""
    return {"$ref": REF.format(name=_name(type_.__name__))}


def _name(of_struct: str) -> str:
    return _NAMES.get(of_struct, of_struct.removesuffix("View"))


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
