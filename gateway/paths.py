"""Words in a path that name a resource."""

from uuid import UUID

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.validation import parse_uuid


def uuid_in_path(word: str) -> UUID:
    """Read an id; ``bad-request`` when it is not a UUID."""
    id_ = parse_uuid(word)
    if id_ is None:
        raise Refusal(ProblemType.BAD_REQUEST, "the id in the path is not a UUID")
    return id_


def not_found(what: str) -> Refusal:
    """Return the refusal of an id that the caller's tenant does not have."""
    return Refusal(ProblemType.NOT_FOUND, f"there is no {what} with this id")
