"""Makes the OpenAPI 3.1 document."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from contracts.problems import Problem, ProblemType
from gateway.description import examples
from gateway.description.headers import (
    AUTHENTICATE,
    CORRELATION,
    HEADERS,
    IDEMPOTENCY_KEY,
    RATE_LIMITS,
    REPLAY,
    RETRY_AFTER,
    TRACEPARENT,
)
from gateway.description.operations import (
    JSON,
    Operation,
    Parameter,
    Reply,
    Schema,
)
from gateway.description.schemas import components, ref
from gateway.letter_views import Forecast
from gateway.routing import RouteName
from gateway.views import StatusView

PROBLEM_JSON = "application/problem+json"

_ABOUT = """\
Tocsin takes notifications, sends them by SMS, email and push, and tells what became of \
them.

Every answer that is not a success is a problem (RFC 9457); clients match on its `type`. \
Every answer carries `X-Correlation-ID`.
"""

_TAGS = {
    "Notifications": "Send one notification, look at it, see what happened to it.",
    "Batches": "Many notifications at once, all or none.",
    "Templates": "Words with gaps, kept here and filled in when a notification is sent.",
    "Dead letters": "What was given up, for operators: replay it, or put it away.",
    "Operators": "How the mesh stands, changes to it, and the record of who made them.",
    "Privacy": "Take a person out of the ledger, on request and on record.",
    "Receipts": "For providers: tell what became of what they accepted.",
    "Following": "Hear of changes as they happen.",
    "Service": "For machines that look after the gateway.",
    "Documentation": "This document, and a page to read it with.",
}

_REPLAYED = "The answer that the first request with this key was given, again."

#: What comes with a problem, besides the correlation id.
_HEADERS_OF: Mapping[int, tuple[str, ...]] = {
    401: (AUTHENTICATE,),
    409: (RETRY_AFTER,),
    429: (RETRY_AFTER,),
    503: (RETRY_AFTER,),
}


def document(operations: Mapping[RouteName, Operation]) -> Schema:
    """Return the whole document."""
    paths: dict[str, Schema] = {}
    for name, operation in operations.items():
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(
            name, operation, operations
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tocsin",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name, "description": text}
            for name, text in _TAGS.items()
            if any(operation.tag == name for operation in operations.values())
        ],
        "paths": paths,
        "components": {
            "schemas": components(_types(operations.values())),
            "headers": HEADERS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Where authentication is off, none is "
                    "needed.",
                }
            },
        },
    }


def _types(operations: Iterable[Operation]) -> set[type]:
    types: set[type] = {Problem, StatusView, Forecast}  # these two only in words
    for operation in operations:
        bodies = [operation.body, *(r.body for r in operation.replies.values())]
        types |= {body for body in bodies if isinstance(body, type)}
    return types


def _operation(
    name: RouteName,
    operation: Operation,
    operations: Mapping[RouteName, Operation],
) -> Schema:
    made: Schema = {
        "operationId": str(name),
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        made["description"] = operation.description
    made["parameters"] = [_parameter(each) for each in _parameters(operation)]
    if operation.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {
                JSON: {
                    "schema": ref(operation.body),
                    "examples": {
                        key: {"value": value}
                        for key, value in operation.examples.items()
                    },
                },
                **{
                    media_type: {"schema": schema}
                    for media_type, schema in operation.other_bodies.items()
                },
            },
        }
    replies = {
        str(status): _reply(operation, reply, operations)
        for status, reply in _replies(operation).items()
    }
    made["responses"] = replies | _problems(operation)
    made["security"] = [] if operation.permission is None else [{"key": []}, {}]
    return made


def _parameters(operation: Operation) -> list[Parameter]:
    own = [*operation.parameters, CORRELATION]
    if operation.permission is not None:
        own.append(TRACEPARENT)
    if operation.is_idempotent:
        own.append(IDEMPOTENCY_KEY)
    return own


def _parameter(parameter: Parameter) -> Schema:
    made: Schema = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }
    if parameter.example is not None:
        made["example"] = parameter.example
    return made


def _replies(operation: Operation) -> dict[int, Reply]:
    """Return the replies of an operation, with the replayed one where there is one."""
    replies = dict(operation.replies)
    if operation.is_idempotent and 200 not in replies:
        first = next(iter(replies.values()))
        replies[200] = Reply(
            description=_REPLAYED,
            body=first.body,
            example=first.example,
            headers=(REPLAY,),
        )
    return dict(sorted(replies.items()))


def _reply(
    operation: Operation, reply: Reply, operations: Mapping[RouteName, Operation]
) -> Schema:
    made: Schema = {
        "description": reply.description,
        "headers": _headers(operation, reply.headers),
    }
    if reply.body is not None:
        body = reply.body
        content: Schema = {"schema": ref(body) if isinstance(body, type) else body}
        if reply.example is not None:
            content["example"] = _plain(reply.example)
        made["content"] = {reply.media_type: content}
    if reply.links:
        made["links"] = {
            name: {
                "operationId": name,
                "parameters": {_path_word(operations[RouteName(name)]): where},
            }
            for name, where in reply.links.items()
        }
    return made


def _path_word(operation: Operation) -> str:
    [word] = [p.name for p in operation.parameters if p.place == "path"]
    return f"path.{word}"


def problems_of(operation: Operation) -> list[ProblemType]:
    """Return every problem an operation can answer with, by status."""
    problems = [ProblemType.BAD_REQUEST, *operation.problems, ProblemType.INTERNAL]
    if operation.permission is not None:
        problems += [
            ProblemType.UNAUTHORIZED,
            ProblemType.FORBIDDEN,
            ProblemType.RATE_LIMITED,
        ]
    if operation.body is not None:
        problems += [
            ProblemType.MALFORMED_BODY,
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ProblemType.PAYLOAD_TOO_LARGE,
        ]
    if operation.is_idempotent:
        problems += [
            ProblemType.IDEMPOTENCY_KEY_MISMATCH,
            ProblemType.IDEMPOTENCY_IN_PROGRESS,
        ]
    if operation.reads_ledger:
        problems.append(ProblemType.DEPENDENCY_UNAVAILABLE)
    return sorted(set(problems), key=lambda problem: (problem.status, problem.slug))


def _problems(operation: Operation) -> dict[str, Schema]:
    return {
        str(status): _problem(operation, status, list(types))
        for status, types in groupby(
            problems_of(operation), key=lambda problem: problem.status
        )
    }


def _problem(operation: Operation, status: int, types: list[ProblemType]) -> Schema:
    return {
        "description": " · ".join(problem.title for problem in types) + ".",
        "headers": _headers(operation, _HEADERS_OF.get(status, ())),
        "content": {
            PROBLEM_JSON: {
                "schema": {
                    "allOf": [
                        ref(Problem),
                        {
                            "type": "object",
                            "properties": {
                                "type": {"enum": [problem.uri for problem in types]},
                                "status": {"const": status},
                            },
                        },
                    ]
                },
                "examples": {
                    problem.slug: {"value": _plain(examples.problem(problem))}
                    for problem in types
                },
            }
        },
    }


def _headers(operation: Operation, names: Iterable[str]) -> Schema:
    limited = () if operation.permission is None else RATE_LIMITS
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in (CORRELATION.name, *names, *limited)
    }


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
