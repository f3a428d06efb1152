"""The parameters of lists. An empty one is absent; of several, the first counts."""

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from gateway.description.operations import UUID, Parameter, Schema
from gateway.filters import LIMIT_AT_MOST, LIMIT_DEFAULT

_EMPTY: Schema = {"const": ""}


def _query(name: str, description: str, schema: Schema) -> Parameter:
    return Parameter(
        name=name,
        place="query",
        description=description,
        schema={"anyOf": [schema, _EMPTY]},
    )


LIMIT = _query(
    "limit",
    f"How many items a page has: {LIMIT_DEFAULT} unless said, at most {LIMIT_AT_MOST};"
    " a number out of bounds is the default.",
    {"type": "integer"},
)
CURSOR = _query(
    "cursor",
    "The `next_cursor` of the page before, with the same filters.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"},
)
FILTERS = (
    _query("status", "Where it stands.", {"enum": [str(one) for one in Status]}),
    _query("channel", "How it travels.", {"enum": [str(one) for one in Channel]}),
    _query("priority", "How urgent it is.", {"enum": [str(one) for one in Priority]}),
    _query("batch_id", "The batch it came with.", UUID),
    _query("recipient", "Whom it goes to, exactly.", {"type": "string"}),
    _query("correlation_id", "What it came with, exactly.", {"type": "string"}),
    _query(
        "created_after",
        "Not created before this time.",
        {"type": "string", "format": "date-time"},
    ),
    _query(
        "created_before",
        "Not created after this time.",
        {"type": "string", "format": "date-time"},
    ),
)
