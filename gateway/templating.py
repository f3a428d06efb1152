"""Words with gaps: what a template may say, and how its gaps are filled.

A template is Jinja2 cut down to what has a bound: gaps, dotted paths, four filters, and
``if``. Everything else is refused when the template is stored. Each path becomes a plain name that
is looked up here, in the client's JSON, before Jinja runs: no expression of a template
ever touches an attribute of an object, and none is called (docs/adr/0007).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from jinja2 import TemplateError, Undefined, nodes
from jinja2.filters import do_default
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contracts.limits import is_storable

_NODES_AT_MOST = 500
_DEPTH_AT_MOST = 20
#: A filter's work grows with its input; fifty of the largest inputs take milliseconds.
_FILTERS_AT_MOST = 50
_NUMBER_AT_MOST_BITS = 64

#: ``{{.Name}}``, as an older generation of templates writes it.
_LEADING_DOT = re.compile(r"(\{\{[-+]?)\s*\.(?=[^\W\d])")

Path = tuple[str, ...]


class TemplateFault(Exception):
    """A template says something it may not; the words are for its author."""


class MissingVariable(Exception):
    """A gap has nothing to be filled with."""

    def __init__(self, path: Path) -> None:
        super().__init__(".".join(path))
        self.path = path


class _Missing(Undefined):
    """What a path leads to when the variables do not have it: false, and not printable."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        super().__init__(name=".".join(path))
        self.path = path

    def __str__(self) -> str:
        raise MissingVariable(self.path)


def _text(value: object) -> str:
    """Print a value as JSON does, and a string as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, _Missing):
        raise MissingVariable(value.path)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # however large
    return msgspec.json.encode(value).decode()


_environment = ImmutableSandboxedEnvironment(
    finalize=_text, keep_trailing_newline=True, cache_size=0
)
_environment.globals = {}
_environment.tests = {
    name: _environment.tests[name] for name in ("defined", "undefined")
}
_environment.filters = {
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "trim": lambda value: _text(value).strip(),
    "default": do_default,
}


class Wording:
    """The text of one template, ready to be filled in."""

    def __init__(self, source: str) -> None:
        """Read a template; ``TemplateFault`` when it is none or does too much.

        Takes tens of milliseconds for the largest: not for an event loop.
        """
        reader = _Reader()
        try:
            tree = _environment.parse(_LEADING_DOT.sub(r"\1 ", source))
            reader.read(tree)
            self._template = _environment.from_string(tree)
        except TemplateError as error:
            raise TemplateFault(error.message or "it is not a template") from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise TemplateFault("it is nested too deeply") from error
        except ValueError as error:  # of more digits than Python reads
            raise TemplateFault("a number in it is too long") from error
        self._paths = reader.names

    def fill(self, variables: Mapping[str, Any], at_most: int) -> str:
        """Return the text; it is cut off soon after ``at_most`` characters.

        Raises ``MissingVariable``. A null is as good as missing.
        """
        found = {name: _find(path, variables) for path, name in self._paths.items()}
        pieces: list[str] = []
        length = 0
        for piece in self._template.generate(found):
            pieces.append(piece)
            length += len(piece)
            if length > at_most:
                break
        return "".join(pieces)


def _find(path: Path, variables: Mapping[str, Any]) -> object:
    value: Any = variables
    for word in path:
        value = value.get(word) if isinstance(value, dict) else None
    return _Missing(path) if value is None else value


class _Reader:
    """Walks over a parsed template, refuses what is not allowed, and names its paths."""

    def __init__(self) -> None:
        self.names: dict[Path, str] = {}
        self._nodes = 0
        self._filters = 0

    def read(self, tree: nodes.Template) -> None:
        self._block(tree.body, 0)

    def _block(self, body: Sequence[nodes.Node], depth: int) -> None:
        for node in body:
            self._count(node, depth)
            match node:
                case nodes.Output():
                    node.nodes = [
                        part
                        if isinstance(part, nodes.TemplateData)
                        else self._expression(part, depth + 1)
                        for part in node.nodes
                    ]
                case nodes.If():
                    node.test = self._expression(node.test, depth + 1)
                    self._block(node.body, depth + 1)
                    self._block(node.elif_, depth)
                    self._block(node.else_, depth + 1)
                case _:
                    raise _refusal(node)

    def _expression(self, node: nodes.Node, depth: int) -> nodes.Expr:
        self._count(node, depth)
        match node:
            case nodes.Const():
                _check_constant(node)
            case nodes.Name() | nodes.Getattr():
                return self._named(node)
            case nodes.Not():
                node.node = self._expression(node.node, depth + 1)
            case nodes.And() | nodes.Or():
                node.left = self._expression(node.left, depth + 1)
                node.right = self._expression(node.right, depth + 1)
            case nodes.Filter() if node.node is not None:
                self._check_filter(node)
                node.node = self._expression(node.node, depth + 1)
                node.args = [self._expression(arg, depth + 1) for arg in node.args]
            case nodes.Test(name="defined" | "undefined") if not _has_arguments(node):
                node.node = self._expression(node.node, depth + 1)
            case nodes.Compare(ops=[nodes.Operand(op="eq" | "ne") as operand]) if (
                isinstance(operand.expr, nodes.Const)
            ):
                _check_constant(operand.expr)
                node.expr = self._expression(node.expr, depth + 1)
            case _:
                raise _refusal(node)
        return node

    def _check_filter(self, node: nodes.Filter) -> None:
        self._filters += 1
        if self._filters > _FILTERS_AT_MOST:
            raise TemplateFault(f"it has more than {_FILTERS_AT_MOST} filters")
        allowed = 1 if node.name == "default" else 0
        known = node.name in _environment.filters
        if not known or _is_dynamic(node) or len(node.args) != allowed:
            raise TemplateFault(
                f"line {node.lineno}: filters are upper, lower, trim and default(value)"
            )

    def _named(self, node: nodes.Node) -> nodes.Name:
        path = tuple(reversed(list(_words(node))))
        if len(path) > _DEPTH_AT_MOST:
            raise TemplateFault(f"line {node.lineno}: a path is too long")
        name = self.names.setdefault(path, f"gap_{len(self.names)}")
        return nodes.Name(name, "load", lineno=node.lineno)

    def _count(self, node: nodes.Node, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _NODES_AT_MOST:
            raise TemplateFault(f"it has more than {_NODES_AT_MOST} parts")
        if depth > _DEPTH_AT_MOST:
            raise TemplateFault(f"line {node.lineno}: it is nested too deeply")


def _check_constant(node: nodes.Const) -> None:
    """Refuse words that nothing can store, and numbers that Python cannot spell."""
    match node.value:
        case str() as words if not is_storable(words):
            fault = "a text has a NUL character or half a surrogate pair"
        case int() as number if number.bit_length() > _NUMBER_AT_MOST_BITS:
            fault = f"a number has more than {_NUMBER_AT_MOST_BITS} bits"
        case float() as number if not math.isfinite(number):
            fault = "a number is too large"
        case _:
            return
    raise TemplateFault(f"line {node.lineno}: {fault}")


def _words(node: nodes.Node) -> Iterator[str]:
    """Yield the words of a dotted path, last first."""
    while isinstance(node, nodes.Getattr):
        yield node.attr
        node = node.node
    if not isinstance(node, nodes.Name):
        raise _refusal(node)
    yield node.name


def _is_dynamic(node: nodes.Filter | nodes.Test) -> bool:
    return bool(node.kwargs or node.dyn_args or node.dyn_kwargs)


def _has_arguments(node: nodes.Test) -> bool:
    return bool(node.args) or _is_dynamic(node)


def _refusal(node: nodes.Node) -> TemplateFault:
    return TemplateFault(
        f"line {node.lineno}: a template has gaps like {{{{ user.name }}}},"
        " filters and if, nothing else"
    )
