"""``python -m gateway.description``: write the documents that are checked in."""

import json
from pathlib import Path

import contracts
from gateway.description import asyncapi, openapi
from gateway.description.operations import Schema
from gateway.description.tables import OPERATIONS

_FOLDER = Path(contracts.__file__).parent


def documents() -> dict[Path, Schema]:
    """Return each document as it should be, by where it is kept."""
    return {
        _FOLDER / "openapi.json": openapi.document(OPERATIONS),
        _FOLDER / "asyncapi.json": asyncapi.document(),
    }


def text(document: Schema) -> str:
    """Write a document the way it is checked in."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, made in documents().items():
        path.write_text(text(made))
