"""Reads request bodies: of the right type, and never more than is allowed."""

import re

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.routing import Call

_JSON = re.compile(
    r'application/json[ \t]*(;[ \t]*(charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?)?',
    re.IGNORECASE,
)


_FORM = re.compile(
    r"application/x-www-form-urlencoded[ \t]*(;[ \t]*(charset[ \t]*=[ \t]*\"?utf-?8\"?[ \t]*)?)?",
    re.IGNORECASE,
)


async def read_json(call: Call, at_most_bytes: int) -> bytes:
    """Return the body of a call that says it is JSON.

    An absent type is refused too: a web page may send such a body without being asked.
    """
    sent = call.headers.get(b"content-type", b"")
    if sent != b"application/json" and not _JSON.fullmatch(sent.decode("latin-1")):
        raise Refusal(
            ProblemType.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json"
        )
    return await call.read(at_most_bytes)


async def read_form(call: Call, at_most_bytes: int) -> bytes:
    """Return the body of a call that says it is a form."""
    sent = call.headers.get(b"content-type", b"").decode("latin-1")
    if not _FORM.fullmatch(sent):
        raise Refusal(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "send the body as application/x-www-form-urlencoded",
        )
    return await call.read(at_most_bytes)


async def read_nothing(_at_most_bytes: int) -> bytes:
    """Read the body of what has none."""
    return b""


def refuse_declared(headers: dict[bytes, bytes], at_most_bytes: int) -> None:
    """Raise ``payload-too-large`` when the length a client declares is too long."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > at_most_bytes:
        raise too_large(at_most_bytes)


def too_large(at_most_bytes: int) -> Refusal:
    """Return the refusal of a body that is too long."""
    return Refusal(
        ProblemType.PAYLOAD_TOO_LARGE, f"a body here has at most {at_most_bytes} bytes"
    )
