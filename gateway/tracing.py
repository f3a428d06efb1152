"""The trace a request belongs to."""

from contracts.tracing import continue_trace
from gateway.routing import Call


def traceparent_of(call: Call) -> str | None:
    """Return the trace context to go on with, when the caller sent a valid one."""
    sent = call.headers.get(b"traceparent")
    return None if sent is None else continue_trace(sent.decode("latin-1"))
