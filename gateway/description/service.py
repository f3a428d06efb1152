"""The operations on the gateway itself: health, numbers, documentation."""

from contracts.problems import ProblemType
from gateway.description import examples
from gateway.description.operations import Operation, Parameter, Reply
from gateway.principals import Permission
from gateway.routes import docs
from gateway.routing import RouteName
from gateway.views import Health, Summary

_OK = Reply(description="It is well.", body=Health, example=Health())

OPERATIONS = {
    RouteName.LIVE: Operation(
        method="GET",
        path="/healthz/live",
        tag="Service",
        summary="Say that the process answers",
        permission=None,
        replies={200: _OK},
        reads_ledger=False,
    ),
    RouteName.READY: Operation(
        method="GET",
        path="/healthz/ready",
        tag="Service",
        summary="Say that all it needs is there, or what is not",
        permission=None,
        replies={200: _OK},
        problems=(ProblemType.DEPENDENCY_UNAVAILABLE,),
        reads_ledger=False,
    ),
    RouteName.METRICS: Operation(
        method="GET",
        path="/metrics",
        tag="Service",
        summary="Show all metrics in the Prometheus text format",
        permission=None,
        replies={
            200: Reply(
                description="Metrics.",
                body={"type": "string"},
                media_type="text/plain",
            )
        },
        reads_ledger=False,
    ),
    RouteName.GET_SUMMARY: Operation(
        method="GET",
        path="/api/v1/metrics",
        tag="Service",
        summary="Show what the whole mesh did in the last minute, and what waits",
        permission=Permission.READ,
        replies={
            200: Reply(description="A summary.", body=Summary, example=examples.SUMMARY)
        },
    ),
    RouteName.DOCS: Operation(
        method="GET",
        path=docs.PATH,
        tag="Documentation",
        summary="Show this documentation in a browser",
        permission=None,
        replies={
            200: Reply(
                description="A page.", body={"type": "string"}, media_type="text/html"
            )
        },
        reads_ledger=False,
    ),
    RouteName.DOCS_ASSET: Operation(
        method="GET",
        path=f"{docs.PATH}/assets/<name>",
        tag="Documentation",
        summary="Serve a part of that page",
        permission=None,
        parameters=(
            Parameter(
                name="name",
                place="path",
                description="The name of the file.",
                schema={"type": "string", "enum": list(docs.ASSETS)},
                required=True,
            ),
        ),
        replies={
            200: Reply(description="A file.", body={"type": "string"}, media_type="*/*")
        },
        problems=(ProblemType.NOT_FOUND,),
        reads_ledger=False,
    ),
    RouteName.OPENAPI_JSON: Operation(
        method="GET",
        path=f"{docs.PATH}/openapi.json",
        tag="Documentation",
        summary="Show this document as JSON",
        permission=None,
        replies={200: Reply(description="This document.", body={"type": "object"})},
        reads_ledger=False,
    ),
    RouteName.OPENAPI_YAML: Operation(
        method="GET",
        path=f"{docs.PATH}/openapi.yaml",
        tag="Documentation",
        summary="Show this document as YAML",
        permission=None,
        replies={
            200: Reply(
                description="This document.",
                body={"type": "object"},
                media_type="application/yaml",
            )
        },
        reads_ledger=False,
    ),
}
