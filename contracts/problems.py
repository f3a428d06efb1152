"""Problem types (RFC 9457): the stable names clients match on."""

from enum import Enum

import msgspec


class ProblemType(Enum):
    """A slug, the HTTP status it goes with, and its title."""

    NOT_FOUND = ("not-found", 404, "Not found")
    INVALID_CHANNEL = ("invalid-channel", 400, "Invalid channel")
    INVALID_PRIORITY = ("invalid-priority", 400, "Invalid priority")
    INVALID_STATUS = ("invalid-status", 400, "Invalid status")
    INVALID_RECIPIENT = ("invalid-recipient", 400, "Invalid recipient")
    INVALID_CONTENT = ("invalid-content", 400, "Invalid content")
    INVALID_BATCH_SIZE = ("invalid-batch-size", 400, "Invalid batch size")
    INVALID_SCHEDULE = ("invalid-schedule", 400, "Invalid schedule")
    INVALID_TEMPLATE_NAME = ("invalid-template-name", 400, "Invalid template name")
    INVALID_TEMPLATE_BODY = ("invalid-template-body", 400, "Invalid template body")
    TEMPLATE_RENDER_FAILED = ("template-render-failed", 400, "Template render failed")
    MALFORMED_BODY = ("malformed-body", 400, "Malformed body")
    BAD_REQUEST = ("bad-request", 400, "Bad request")
    UNAUTHORIZED = ("unauthorized", 401, "Unauthorized")
    FORBIDDEN = ("forbidden", 403, "Forbidden")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "Method not allowed")
    INVALID_TRANSITION = ("invalid-transition", 409, "Invalid transition")
    TEMPLATE_EXISTS = ("template-exists", 409, "Template exists")
    TEMPLATE_IN_USE = ("template-in-use", 409, "Template in use")
    IDEMPOTENCY_KEY_MISMATCH = (
        "idempotency-key-mismatch",
        409,
        "Idempotency key mismatch",
    )
    IDEMPOTENCY_IN_PROGRESS = (
        "idempotency-in-progress",
        409,
        "Idempotency key in progress",
    )
    PAYLOAD_TOO_LARGE = ("payload-too-large", 413, "Payload too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "Unsupported media type")
    RATE_LIMITED = ("rate-limited", 429, "Rate limited")
    OVERLOADED = ("overloaded", 503, "Overloaded")
    DEPENDENCY_UNAVAILABLE = ("dependency-unavailable", 503, "Dependency unavailable")
    INTERNAL = ("internal", 500, "Internal error")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """Return the ``type`` member of the problem."""
        return f"/probs/{self.slug}"


class FieldError(msgspec.Struct, frozen=True):
    """One field that is wrong: a JSON pointer (RFC 6901) and what is wrong with it."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document as it is sent."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    correlation_id: str
    errors: list[FieldError] = []
