"""The parameters of lists. An empty one is absent; of several, the first counts."""

from contracts.channels import Channel, Priority
from contracts.lifecycle import Status
from gateway.description.operations import UUID, Parameter, Schema
from gateway.filters import LIMIT_AT_MOST, LIMIT_DEFAULT

_EMPTY: Schema = {"const": ""}


def query(name: str, description: str, schema: Schema) -> Parameter:
    """Return a parameter that may be empty."""
    return Parameter(
        name=name,
        place="query",
        description=description,
        schema={"anyOf": [schema, _EMPTY]},
    )


LIMIT = query(
    "limit",
    f"How many items a page has: {LIMIT_DEFAULT} unless said, at most {LIMIT_AT_MOST};"
    " a number out of bounds is the default.",
    {"type": "integer"},
)
CURSOR = query(
    "cursor",
    "The `next_cursor` of the page before, with the same filters.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"},
)
FILTERS = (
    query("status", "Where it stands.", {"enum": [str(one) for one in Status]}),
    query("channel", "How it travels.", {"enum": [str(one) for one in Channel]}),
    query("priority", "How urgent it is.", {"enum": [str(one) for one in Priority]}),
    query("batch_id", "The batch it came with.", UUID),
    query("recipient", "Whom it goes to, exactly.", {"type": "string"}),
    query("correlation_id", "What it came with, exactly.", {"type": "string"}),
    query(
        "created_after",
        "Not created before this time.",
        {"type": "string", "format": "date-time"},
    ),
    query(
        "created_before",
        "Not created after this time.",
        {"type": "string", "format": "date-time"},
    ),
)
