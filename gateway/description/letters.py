"""The operations of ``gateway.routes.dead_letters`` and ``gateway.routes.erasures``."""

from contracts.channels import Channel, Priority
from contracts.operations import OperationKind
from contracts.outcomes import FailureClass
from contracts.problems import ProblemType
from gateway.description import examples
from gateway.description.operations import (
    UUID,
    Operation,
    Reply,
    Schema,
    path_id,
)
from gateway.description.queries import query
from gateway.description.schemas import ref
from gateway.letter_requests import (
    LIMIT_AT_MOST,
    LIMIT_DEFAULT,
    ErasureBody,
    LettersBody,
)
from gateway.letter_views import (
    Forecast,
    LetterGroups,
    LetterPage,
    OperationList,
    OperationView,
)
from gateway.principals import Permission
from gateway.routes import dead_letters, erasures
from gateway.routing import RouteName

_TAG = "Dead letters"
_OPERATION_ID = path_id("operation_id", "operation")
_ERASURE_ID = path_id("erasure_id", "erasure")

_FORECAST_OR_OPERATION: Schema = {"anyOf": [ref(Forecast), ref(OperationView)]}
_TIME: Schema = {"type": "string", "format": "date-time"}


_FILTERS = (
    query("channel", "How it travels.", {"enum": [str(one) for one in Channel]}),
    query("priority", "How urgent it was.", {"enum": [str(one) for one in Priority]}),
    query("class", "Why it failed.", {"enum": [str(one) for one in FailureClass]}),
    query("reason", "What it died of, exactly.", {"type": "string"}),
    query("failed_after", "Not failed before this time.", _TIME),
    query("failed_before", "Not failed after this time.", _TIME),
)
_PAGE = (
    query(
        "state",
        "What became of it: `open` unless said.",
        {"enum": ["open", "all", "replayed", "discarded"]},
    ),
    query(
        "limit",
        f"How many items a page has: {LIMIT_DEFAULT} unless said.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_AT_MOST},
    ),
    query("cursor", "The `next_cursor` of the page before.", UUID),
)


def _begun(link: RouteName, stop: RouteName, example: OperationView) -> Reply:
    return Reply(
        description="Begun.",
        body=OperationView,
        example=example,
        headers=("Location",),
        links={link: "$response.body#/id", stop: "$response.body#/id"},
    )


def _operate(kind: OperationKind, summary: str) -> Operation:
    return Operation(
        method="POST",
        path=f"{dead_letters.PATH}/{kind}",
        tag=_TAG,
        summary=summary,
        description=(
            "Say which: a `filter`, or `all`. With `dry_run` nothing is done, and the "
            "answer says what would be."
        ),
        permission=Permission.OPERATE,
        body=LettersBody,
        examples={"those": examples.LETTERS_ASKED},
        replies={
            200: Reply(
                description="What would be done; or the answer to an earlier request.",
                body=_FORECAST_OR_OPERATION,
            ),
            202: _begun(
                RouteName.GET_OPERATION,
                RouteName.STOP_OPERATION,
                examples.operation(kind),
            ),
        },
        is_idempotent=True,
    )


OPERATIONS = {
    RouteName.LIST_DEAD_LETTERS: Operation(
        method="GET",
        path=dead_letters.PATH,
        tag=_TAG,
        summary="List dead letters, newest first",
        permission=Permission.OPERATE,
        parameters=(*_FILTERS, *_PAGE),
        replies={200: Reply(description="A page.", body=LetterPage)},
    ),
    RouteName.GROUP_DEAD_LETTERS: Operation(
        method="GET",
        path=f"{dead_letters.PATH}/groups",
        tag=_TAG,
        summary="Show what the open ones died of, the most frequent first",
        permission=Permission.OPERATE,
        parameters=_FILTERS,
        replies={200: Reply(description="Groups.", body=LetterGroups)},
    ),
    RouteName.REPLAY_DEAD_LETTERS: _operate(
        OperationKind.REPLAY, "Have failed notifications sent again, at a rate"
    ),
    RouteName.DISCARD_DEAD_LETTERS: _operate(
        OperationKind.DISCARD, "Have dead letters put away"
    ),
    RouteName.LIST_OPERATIONS: Operation(
        method="GET",
        path=dead_letters.OPERATIONS,
        tag=_TAG,
        summary="List the newest operations: who did what, and why",
        permission=Permission.OPERATE,
        replies={200: Reply(description="Operations.", body=OperationList)},
    ),
    RouteName.GET_OPERATION: Operation(
        method="GET",
        path=f"{dead_letters.OPERATIONS}/<operation_id>",
        tag=_TAG,
        summary="Show how far an operation has come",
        permission=Permission.OPERATE,
        parameters=(_OPERATION_ID,),
        replies={200: Reply(description="The operation.", body=OperationView)},
        problems=(ProblemType.NOT_FOUND,),
    ),
    RouteName.STOP_OPERATION: Operation(
        method="DELETE",
        path=f"{dead_letters.OPERATIONS}/<operation_id>",
        tag=_TAG,
        summary="Stop an operation; what it has done stays done",
        permission=Permission.OPERATE,
        parameters=(_OPERATION_ID,),
        replies={200: Reply(description="The operation.", body=OperationView)},
        problems=(ProblemType.NOT_FOUND,),
        is_idempotent=True,
    ),
    RouteName.ERASE_RECIPIENT: Operation(
        method="POST",
        path=erasures.PATH,
        tag="Privacy",
        summary="Take a recipient out of the ledger",
        description=(
            "What is not sent yet is cancelled, the rest redacted. With `dry_run` nothing "
            "is done, and the answer says how much would be."
        ),
        permission=Permission.ERASE,
        body=ErasureBody,
        examples={"one": examples.ERASURE_ASKED},
        replies={
            200: Reply(
                description="What would be done; or the answer to an earlier request.",
                body=_FORECAST_OR_OPERATION,
            ),
            202: _begun(
                RouteName.GET_ERASURE,
                RouteName.STOP_ERASURE,
                examples.operation(OperationKind.ERASE),
            ),
        },
        problems=(ProblemType.INVALID_RECIPIENT,),
        is_idempotent=True,
    ),
    RouteName.GET_ERASURE: Operation(
        method="GET",
        path=f"{erasures.PATH}/<erasure_id>",
        tag="Privacy",
        summary="Show how far an erasure has come; it never says whose",
        permission=Permission.ERASE,
        parameters=(_ERASURE_ID,),
        replies={200: Reply(description="The erasure.", body=OperationView)},
        problems=(ProblemType.NOT_FOUND,),
    ),
    RouteName.STOP_ERASURE: Operation(
        method="DELETE",
        path=f"{erasures.PATH}/<erasure_id>",
        tag="Privacy",
        summary="Stop an erasure; what is erased stays erased",
        permission=Permission.ERASE,
        parameters=(_ERASURE_ID,),
        replies={200: Reply(description="The erasure.", body=OperationView)},
        problems=(ProblemType.NOT_FOUND,),
        is_idempotent=True,
    ),
}
