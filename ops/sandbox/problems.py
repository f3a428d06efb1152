"""Refusals that name the field at fault."""

import re

import msgspec

from contracts.problems import FieldError, ProblemType

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON from a stranger may raise; the last on absurd nesting."""

# msgspec says where only in words: "… - at `$.rate`", "… required field `to`".
_PATH = re.compile(r"^(?P<detail>.*) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_FIELD = re.compile(r"field `(?P<field>[^`]*)`$")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document; `pointer` may also be `?name` in the query, or a header."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


def in_body(error: Exception) -> Problem:
    """Say which member of a JSON body could not be accepted, and why."""
    field, detail = _locate(error)
    return _make(ProblemType.MALFORMED_BODY, f"/{field}" if field else "", detail)


def in_query(error: Exception) -> Problem:
    field, detail = _locate(error)
    return _make(ProblemType.BAD_REQUEST, f"?{field}", detail)


def in_header(name: str, detail: str) -> Problem:
    return _make(ProblemType.BAD_REQUEST, name, detail)


def oversized(most_bytes: int) -> Problem:
    return plain(ProblemType.PAYLOAD_TOO_LARGE, f"Expected at most {most_bytes} bytes")


def plain(kind: ProblemType, detail: str) -> Problem:
    """Refuse for a reason that is in no field."""
    return Problem(type=kind.uri, title=kind.title, status=kind.status, detail=detail)


def _make(kind: ProblemType, pointer: str, detail: str) -> Problem:
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=f"{pointer}: {detail}" if pointer else detail,
        errors=(FieldError(pointer, detail),),
    )


def _locate(error: Exception) -> tuple[str, str]:
    """Split an error into the field it is about, if it says, and the reason."""
    detail = str(error)
    if located := _PATH.match(detail):
        return located["path"].replace(".", "/"), located["detail"]
    if named := _FIELD.search(detail):
        return named["field"], detail
    return "", detail
