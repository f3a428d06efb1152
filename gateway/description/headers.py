"""The headers of requests and responses."""

from gateway.description import examples
from gateway.description.operations import Parameter, Schema

RETRY_AFTER = "Retry-After"
AUTHENTICATE = "WWW-Authenticate"
REPLAY = "Idempotent-Replay"

#: There unless no limit is set (draft-ietf-httpapi-ratelimit-headers).
RATE_LIMITS = ("RateLimit-Policy", "RateLimit")

CORRELATION = Parameter(
    name="X-Correlation-ID",
    place="header",
    description="Goes with everything that happens for this request; made when absent"
    " or empty.",
    schema={"type": "string", "pattern": "^[!-~]{0,128}$"},
    example=examples.CORRELATION_ID,
)
TRACEPARENT = Parameter(
    name="traceparent",
    place="header",
    description="The trace to continue (W3C Trace Context); ignored when not valid.",
    schema={"type": "string"},
    example="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    description="The same key and body take effect once, however often they are sent.",
    schema={"type": "string", "maxLength": 255},
    example="order-4711-shipped",
)

#: Headers of responses.
HEADERS: dict[str, Schema] = {
    CORRELATION.name: {
        "description": "The id of the resource where it has one, else of the request.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "Location": {
        "description": "Where what was accepted can be looked at.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    REPLAY: {
        "description": "`true`: this is the answer to an earlier request.",
        "schema": {"const": "true"},
    },
    "RateLimit-Policy": {
        "description": "How much a caller may do, as structured fields.",
        "schema": {"type": "string"},
        "example": '"default";q=6000;w=60',
    },
    "RateLimit": {
        "description": "How much of it is left now, as structured fields.",
        "schema": {"type": "string"},
        "example": '"default";r=5999;t=1',
    },
    RETRY_AFTER: {
        "description": "Seconds after which the same request may be accepted.",
        "schema": {"type": "integer", "minimum": 1},
    },
    AUTHENTICATE: {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"enum": ["Bearer", "Signature"]},
    },
}
