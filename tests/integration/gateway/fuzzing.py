"""What Schemathesis cannot know of the gateway: loaded by it, see schemathesis.toml."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, Response

#: A schema cannot say which cursors were given out, nor what a template wants, nor that
#: a request is to be upgraded. Subjects are also borrowed from templates that were made,
#: whose subjects may be longer and have gaps.
_BEYOND_A_SCHEMA = ("/probs/template-render-failed",)
_DETAILS = (
    "the cursor is none, or of a list with other filters",
    "this is a WebSocket: ask for an upgrade",
    "say which dead letters: either a filter or all",
    "subject is one line of at most 998 bytes",
    "look up by one of id, idempotency_key, recipient, recipient_hash",
)


@schemathesis.check
def right_data_is_taken(
    _ctx: CheckContext, response: Response, case: Case[Any]
) -> None:
    """Whatever fits the description is not called a bad request."""
    meta = case.meta
    if meta is None or meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code != 400:
        return
    problem = response.json()
    if problem["type"] in _BEYOND_A_SCHEMA:
        return
    if not any(problem["detail"].endswith(detail) for detail in _DETAILS):
        raise AssertionError(f"refused although it fits: {problem}")
