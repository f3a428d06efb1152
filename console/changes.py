"""A change to the system as it is proposed to the operator, before anything is done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from console.keys import Level
from console.operator import AuditEntry, Notification, Operation
from contracts.oversight import Action

Outcome = AuditEntry | Notification | Operation

#: What goes on record where no reason has to be given and none was.
NO_REASON = "no reason given"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the operator decided in the dialog."""

    reason: str
    number: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the operator decided to do, and how."""

    change: "Change"
    choices: Choices


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number to choose, such as a rate."""

    label: str
    preset: float | None
    least: float
    most: float

    def read(self, text: str) -> float | None:
        """Read what was typed; None when it is no number within the bounds."""
        try:
            number = float(text.replace(",", ""))
        except ValueError:
            return None
        return number if self.least <= number <= self.most else None

    @property
    def bounds(self) -> str:
        """Say what can be chosen."""
        return f"a number from {self.least:,.9g} to {self.most:,.9g}"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would happen: said in a sentence, with samples, and what to type to mean it."""

    effect: str
    typed: str
    samples: tuple[str, ...] = ()
    nothing: bool = False
    """There is nothing to do it to."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something an operator is about to do.

    Whatever it concerns was captured when the key was pressed: rows that move meanwhile
    change nothing.
    """

    action: Action
    title: str
    target: str
    level: Level
    effect: str
    """One sentence, true before anybody is asked."""
    verb: str = ""
    """What the button says that does it; the first word of the title unless given."""
    act: Callable[[Choices], Awaitable[Outcome]]
    preview: Callable[[], Awaitable[Preview]] | None = None
    """From MANY up: what a dry run says."""
    filter_text: str = ""
    number: Number | None = None
    export: Callable[[], Awaitable[str]] | None = None
    """For DESTROY: saves what would be lost, and returns where."""
    wider: "Change | None" = None
    """The same done to more, for example to the lane's whole channel."""
