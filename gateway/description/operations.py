"""One operation of the public interface, as data; tables of them stand beside the routes.

What holds for every operation of a kind (no key, no such id, the ledger away) is added
when the document is made: a table says only what is special.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.problems import ProblemType
from gateway.principals import Permission

Schema = dict[str, Any]

JSON = "application/json"

#: Where the schema of a struct stands in a document.
REF = "#/components/schemas/{name}"

#: Only the canonical form is taken.
UUID: Schema = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer that is not a problem."""

    description: str
    body: type | Schema | None = None  #: a struct, or a schema as it is
    media_type: str = JSON
    example: Any = None  #: an instance of the struct
    headers: tuple[str, ...] = ()  #: names in ``HEADERS``
    links: Mapping[str, str] = field(default_factory=dict)
    """Operation → where in this answer its path word stands, as ``$response.body#/id``."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One word of a path or query, or a header."""

    name: str
    place: str  #: ``path``, ``query`` or ``header``
    description: str
    schema: Schema
    example: Any = None
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What can be asked at one path with one method."""

    method: str
    path: str  #: as the route has it, words in angle brackets
    tag: str
    summary: str
    permission: Permission | None  #: None asks for no key
    replies: Mapping[int, Reply]
    description: str = ""
    body: type | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    other_bodies: Mapping[str, Schema] = field(default_factory=dict)
    """What may come in place of JSON, by its media type."""
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[ProblemType, ...] = ()
    is_idempotent: bool = False  #: honours ``Idempotency-Key``
    reads_ledger: bool = True


def path_id(name: str, what: str) -> Parameter:
    """Return the parameter of a path that names a resource."""
    return Parameter(
        name=name,
        place="path",
        description=f"The id of the {what}.",
        schema=UUID,
        required=True,
    )
