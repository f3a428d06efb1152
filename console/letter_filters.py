"""Filters of dead letters: typed like all others, but run at the gateway, so each term is exact.

What is shown is what a replay or a discard of it acts on.
"""

import re
import shlex
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from console.filters import FilterUnclear
from contracts.channels import Channel, Priority
from contracts.operations import LetterFilter
from contracts.outcomes import FailureClass

_AGE = re.compile(r"([<>])(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_letter_filter(text: str, now: datetime) -> LetterFilter:
    """Read a filter; ages count back from ``now``. Raises FilterUnclear.

    Values of channel, priority and class may be shortened as long as it is clear which one
    is meant, like the names of fields; a reason is the whole one. A field without a value
    filters nothing yet.
    """
    values: dict[str, Any] = {}
    for word in _words(text):
        name, colon, value = word.partition(":")
        if not colon:
            raise FilterUnclear(f"say of which field: {', '.join(_READERS)}")
        field = _one_of(name.lower(), _READERS, "field")
        if value.removeprefix("="):
            values |= _READERS[field](value.removeprefix("="), now)
    return LetterFilter(**values)


def completions() -> list[str]:
    """Return what can be typed, for suggestions."""
    return [
        *(f"channel:{channel}" for channel in Channel),
        *(f"priority:{priority}" for priority in Priority),
        *(f"class:{class_}" for class_ in FailureClass),
        "reason:",
        "age:<1h",
        "age:>1d",
    ]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise FilterUnclear("a quote is not closed") from None


def _enumerated(name: str, members: Iterable[StrEnum]) -> "_Reader":
    by_value = {member.value: member for member in members}

    def read(value: str, _now: datetime) -> dict[str, Any]:
        return {name: by_value[_one_of(value.lower(), by_value, name.strip("_"))]}

    return read


def _reason(value: str, _now: datetime) -> dict[str, Any]:
    return {"reason": value}


def _age(value: str, now: datetime) -> dict[str, Any]:
    match = _AGE.fullmatch(value.lower())
    if match is None:
        raise FilterUnclear("an age is like <2h or >30m")
    side, number, unit = match.groups()
    try:
        at = now - timedelta(**{_UNITS[unit]: int(number)})
    except OverflowError:
        raise FilterUnclear("that is too long ago") from None
    return {"failed_after" if side == "<" else "failed_before": at}


def _one_of(text: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    meant = [name for name in names if name.startswith(text)] if text else []
    if text in names:
        return text
    if len(meant) != 1:
        raise FilterUnclear(f"no {what} {text!r}; there are {', '.join(names)}")
    return meant[0]


_Reader = Callable[[str, datetime], dict[str, Any]]

_READERS: dict[str, _Reader] = {
    "channel": _enumerated("channel", Channel),
    "priority": _enumerated("priority", Priority),
    "class": _enumerated("class_", FailureClass),
    "reason": _reason,
    "age": _age,
}
