"""Filters an operator types: words, ``field:value``, and ``!`` for not; all must hold."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

_Row = TypeVar("_Row")

Fields = Mapping[str, Callable[[_Row], str]]


class FilterUnclear(Exception):
    """A filter that cannot be read; the message says why."""


@dataclass(frozen=True)
class _Term:
    field: str | None
    value: str
    negated: bool


class Filter(Generic[_Row]):
    """A typed filter. A value matches when the field contains it, whatever the case.

    ``field:=value`` matches the whole field. Without a field a word may be in any. A term
    without a value yet filters nothing.
    """

    def __init__(self, text: str, fields: Fields[_Row]) -> None:
        self._fields = fields
        terms = [_parse(word, fields) for word in _words(text)]
        self._terms = [term for term in terms if term.value not in {"", "="}]

    def __bool__(self) -> bool:
        return bool(self._terms)

    def matches(self, row: _Row) -> bool:
        """Say whether the row is one to show."""
        return all(self._holds(term, row) != term.negated for term in self._terms)

    def _holds(self, term: _Term, row: _Row) -> bool:
        if term.field is None:
            return any(
                _contains(read(row), term.value) for read in self._fields.values()
            )
        text = self._fields[term.field](row)
        if term.value.startswith("="):
            return text.lower() == term.value[1:]
        return _contains(text, term.value)


def _contains(text: str, value: str) -> bool:
    return value in text.lower()


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    try:
        return list(lexer)
    except ValueError:
        raise FilterUnclear("a quote is not closed") from None


def _parse(word: str, fields: Fields[_Row]) -> _Term:
    negated = word.startswith("!")
    word = word.removeprefix("!").lower()
    name, colon, value = word.partition(":")
    if not colon:
        return _Term(None, word, negated)
    matching = [field for field in fields if field.startswith(name)] if name else []
    if name in fields:
        matching = [name]
    if len(matching) != 1:
        raise FilterUnclear(f"no field {name!r}; there are {', '.join(fields)}")
    return _Term(matching[0], value, negated)
