"""W3C trace context: continues the trace of a caller."""

import re
import secrets

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


def continue_trace(traceparent: str) -> str | None:
    """Return a ``traceparent`` for the next span of the same trace, sampled as before.

    None when the given one is not valid: the caller's trace is then unknown.
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or (traceparent.startswith("00-") and match[3] is not None):
        return None
    trace_id, flags = match[1], match[2]
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
