"""The operations of operators: ``gateway.routes`` lanes, providers, mesh and audit."""

from typing import Any

from contracts.channels import Channel, Priority
from contracts.oversight import (
    AUDIT_AT_MOST,
    FOUND_AT_MOST,
    OPERATOR_AT_MOST_CHARACTERS,
    OPERATOR_HEADER,
    RECIPIENT_HASH_PATTERN,
    RUNS_AT_MOST,
    Action,
    AuditEntry,
    AuditPage,
    FoundList,
    LaneStandings,
    LimitStandings,
    ProcessStandings,
    ProviderStandings,
    Schedule,
)
from contracts.problems import ProblemType
from gateway.description import examples
from gateway.description.operations import UUID, Operation, Parameter, Reply
from gateway.description.queries import query
from gateway.ops_requests import LIMIT_DEFAULT, LimitBody, OrderBody, ReasonBody
from gateway.principals import Permission
from gateway.routes import audit, lanes, mesh, providers
from gateway.routing import RouteName

TAG = "Operators"

OPERATOR = Parameter(
    name=OPERATOR_HEADER,
    place="header",
    description="The person who acts, for the record: beside the key, or in its place.",
    schema={
        "type": "string",
        "maxLength": OPERATOR_AT_MOST_CHARACTERS,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
    example="Ada",
)

_CHANNEL = Parameter(
    name="channel",
    place="path",
    description="The channel.",
    schema={"enum": [str(channel) for channel in Channel]},
    required=True,
)
_PRIORITY = Parameter(
    name="priority",
    place="path",
    description="The priority.",
    schema={"enum": [str(priority) for priority in Priority]},
    required=True,
)
_PROVIDER = Parameter(
    name="provider",
    place="path",
    description="The name of the provider, as dispatchers tell it.",
    schema={"type": "string", "minLength": 1},
    required=True,
)

_HOUSE = "Only for keys of the tenant that looks after the mesh."


def _limit(default: int, at_most: int) -> Parameter:
    return query(
        "limit",
        f"How many items there are at most: {min(default, at_most)} unless said.",
        {"type": "integer", "minimum": 1, "maximum": at_most},
    )


def _look(
    path: str, body: type, summary: str, *parameters: Parameter, **more: Any
) -> Operation:
    return Operation(
        method="GET",
        path=path,
        tag=TAG,
        summary=summary,
        permission=Permission.OPERATE,
        parameters=parameters,
        replies={200: Reply(description="How it stands.", body=body)},
        **{
            "description": _HOUSE,
            "problems": (ProblemType.DEPENDENCY_UNAVAILABLE,),
            **more,
        },
    )


def _change(
    method: str,
    path: str,
    body: type,
    example: dict[str, Any],
    summary: str,
    *parameters: Parameter,
    problems: tuple[ProblemType, ...] = (),
) -> Operation:
    return Operation(
        method=method,
        path=path,
        tag=TAG,
        summary=summary,
        description=f"On record with who and why, and announced on the bus. {_HOUSE}",
        permission=Permission.OPERATE,
        body=body,
        examples={"one": example},
        parameters=(*parameters, OPERATOR),
        replies={
            202: Reply(
                description="It is done: its entry in the audit.",
                body=AuditEntry,
                example=examples.AUDIT_ENTRY,
            )
        },
        problems=(
            ProblemType.NOT_FOUND,
            ProblemType.DEPENDENCY_UNAVAILABLE,
            *problems,
        ),
        is_idempotent=True,
    )


_WHY = {"reason": "the provider asked us to"}
_ORDER = {"order": "open", **_WHY}
_PER_SECOND = {"per_second": 50, **_WHY}
_SET_FIRST = (ProblemType.INVALID_TRANSITION,)

OPERATIONS = {
    RouteName.LIST_LANES: _look(
        lanes.PATH,
        LaneStandings,
        "Show what every lane holds, and whether it is paused",
    ),
    RouteName.PAUSE_CHANNEL: _change(
        *("POST", f"{lanes.CHANNEL}/pause", ReasonBody, _WHY),
        *("Have nothing sent over a channel; what it holds waits", _CHANNEL),
    ),
    RouteName.RESUME_CHANNEL: _change(
        *("POST", f"{lanes.CHANNEL}/resume", ReasonBody, _WHY),
        *("Take the pause of a channel back", _CHANNEL),
    ),
    RouteName.PAUSE_LANE: _change(
        *("POST", f"{lanes.LANE}/pause", ReasonBody, _WHY),
        *("Have nothing sent from a lane; what it holds waits", _CHANNEL, _PRIORITY),
    ),
    RouteName.RESUME_LANE: _change(
        *("POST", f"{lanes.LANE}/resume", ReasonBody, _WHY),
        *("Take the pause of a lane back", _CHANNEL, _PRIORITY),
        problems=_SET_FIRST,
    ),
    RouteName.LIST_BREAKERS: _look(
        providers.BREAKERS_PATH, ProviderStandings, "Show providers and their breakers"
    ),
    RouteName.ORDER_BREAKER: _change(
        *("POST", providers.BREAKER, OrderBody, _ORDER),
        *("Hold a breaker open, probe it now, or reset it", _PROVIDER),
    ),
    RouteName.LIST_LIMITS: _look(
        providers.LIMITS, LimitStandings, "Show the limits that operators have set"
    ),
    RouteName.LIMIT_CHANNEL: _change(
        *("PUT", providers.CHANNEL_LIMIT, LimitBody, _PER_SECOND),
        *("Set what a channel may send each second", _CHANNEL),
    ),
    RouteName.CLEAR_CHANNEL_LIMIT: _change(
        *("DELETE", providers.CHANNEL_LIMIT, ReasonBody, _WHY),
        *("Go back to the limit that is configured for a channel", _CHANNEL),
    ),
    RouteName.LIMIT_PROVIDER: _change(
        *("PUT", providers.PROVIDER_LIMIT, LimitBody, _PER_SECOND),
        *("Set what a provider may get each second, over all channels", _PROVIDER),
    ),
    RouteName.CLEAR_PROVIDER_LIMIT: _change(
        *("DELETE", providers.PROVIDER_LIMIT, ReasonBody, _WHY),
        *("Go back to the limit that is configured for a provider", _PROVIDER),
    ),
    RouteName.LIST_SERVICES: _look(
        mesh.SERVICES,
        ProcessStandings,
        "Show what every process last said of itself, lost ones included",
    ),
    RouteName.GET_SCHEDULE: _look(
        mesh.SCHEDULE,
        Schedule,
        "Show the jobs of the schedulers, and their runs",
        query("job", "Of this job alone.", {"type": "string"}),
        _limit(LIMIT_DEFAULT, RUNS_AT_MOST),
    ),
    RouteName.LIST_AUDIT: _look(
        audit.AUDIT,
        AuditPage,
        "List what operators did, newest first",
        query("before", "The `next_cursor` of the page before.", UUID),
        query("action", "What was done.", {"enum": [str(one) for one in Action]}),
        _limit(LIMIT_DEFAULT, AUDIT_AT_MOST),
        description="Each tenant's own; for the tenant that looks after the mesh, "
        "everybody's.",
        problems=(),
    ),
    RouteName.FIND_NOTIFICATIONS: _look(
        audit.LOOK_UP,
        FoundList,
        "Look notifications up by one thing that is known of them",
        query("id", "Its id.", UUID),
        query("idempotency_key", "The key it was sent with.", {"type": "string"}),
        query("recipient", "Whom it goes to, exactly.", {"type": "string"}),
        query(
            "recipient_hash",
            "The first 16 hex digits of the SHA-256 of whom it goes to.",
            {"type": "string", "pattern": RECIPIENT_HASH_PATTERN},
        ),
        _limit(LIMIT_DEFAULT, FOUND_AT_MOST),
        description="Whom they go to is masked and what they say left out. An id, and a "
        "key while it is remembered, are found at once; the rest is looked for among "
        "the newest for two seconds, and `searched_from` says how far that went.",
        problems=(),
    ),
}
