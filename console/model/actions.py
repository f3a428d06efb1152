"""What operators did, and what became of it. Success is what the mesh says, not an answer."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from console.model.views import ActionState, ActionView
from contracts.messages import OperatorActed
from contracts.oversight import Action, AuditEntry, Effect

CAPACITY = 500


@dataclass
class _Entry:
    serial: int
    at: float
    who: str
    action: str
    target: str
    reason: str
    state: ActionState
    id: UUID | None = None  #: of the entry in the audit
    subject: str = ""  #: what the audit names as its target
    operation: UUID | None = None
    over: bool = False  #: of the operation
    words: str = ""


class ActionLog:
    """What was done here and elsewhere, oldest first. One's own are pending until told of."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=CAPACITY)
        self._serial = 0

    def begin(self, now: float, action: str, target: str, who: str, reason: str) -> int:
        """Write down what is being asked for; returns how to speak of it from now on."""
        entry = self._add(now, action, target, who, reason, ActionState.PENDING)
        entry.subject = target
        return entry.serial

    def accepted(self, serial: int, entry: AuditEntry) -> None:
        """Note which entry of the audit it is; one that is known not to work has failed."""
        ours = self._of(serial)
        if ours is None:
            return
        ours.id, ours.action, ours.subject = entry.id, entry.action, entry.target
        if entry.effect is Effect.FAILED:
            ours.state, ours.words = ActionState.FAILED, "it did not take effect"

    def awaits(self, serial: int, subject: str, operation: UUID | None = None) -> None:
        """Note what the audit will name as its target, and the operation that does it."""
        ours = self._of(serial)
        if ours is None:
            return
        ours.subject, ours.operation = subject, operation
        for other in list(self._entries):
            told = (other.action, other.subject) == (ours.action, subject)
            if told and other is not ours and ours.id is None:
                # the bus was quicker than the answer
                ours.id, ours.who = other.id, other.who
                self._entries.remove(other)
                if operation is None:
                    ours.state = other.state

    def refused(self, serial: int, words: str) -> None:
        """Note that the answer was no."""
        self._end(serial, ActionState.FAILED, words)

    def lost(self, serial: int, words: str) -> None:
        """Note that no answer came: nobody knows whether it took effect."""
        self._end(serial, ActionState.UNKNOWN, words)

    def progress(
        self, operation: UUID, words: str, state: ActionState = ActionState.PENDING
    ) -> None:
        """Note how far an operation has come, or how it ended."""
        for entry in self._entries:
            if entry.operation == operation and not entry.over:
                entry.words, entry.state = words, state
                entry.over = state is not ActionState.PENDING

    def forget(self, operation: UUID) -> None:
        """Note that nobody knows an operation any more: it was over long ago."""
        for entry in self._entries:
            if entry.operation == operation and not entry.over:
                entry.over, entry.words, entry.state = True, "", ActionState.DONE

    def heard(self, acted: OperatorActed) -> None:
        """Take what the mesh says was done, here or elsewhere.

        An operation is only begun by it, and goes on by itself.
        """
        ours = self._matching(acted)
        if ours is None:
            ours = self._add(
                acted.at.timestamp(),
                acted.action,
                acted.target,
                acted.who,
                acted.reason,
                ActionState.DONE,
            )
            self._note_operation(ours, acted.target)
        elif ours.operation is None:
            ours.state, ours.words = ActionState.DONE, ""
        ours.id, ours.subject, ours.who = acted.id, acted.target, acted.who

    def remember(self, entries: Iterable[AuditEntry]) -> None:
        """Take entries of the audit: what was done before, and what the bus did not tell."""
        for entry in entries:
            ours = self._matching(entry)
            if ours is None:
                ours = self._add(
                    entry.at.timestamp(),
                    entry.action,
                    entry.target,
                    entry.who,
                    entry.reason,
                    _STATES[entry.effect],
                )
                ours.id, ours.subject = entry.id, entry.target
                self._note_operation(ours, entry.target)
                continue
            ours.id = entry.id
            if ours.operation is None and ours.state in _OPEN:
                ours.state = _STATES[entry.effect]
        self._entries = deque(
            sorted(self._entries, key=lambda entry: entry.at), maxlen=CAPACITY
        )

    def pending(self) -> list[int]:
        """Return those that nobody has confirmed yet."""
        return [entry.serial for entry in self._entries if entry.state in _OPEN]

    def operations(self) -> set[UUID]:
        """Return the operations that go on, as far as one knows."""
        return {
            entry.operation
            for entry in self._entries
            if entry.operation is not None and not entry.over
        }

    def views(self) -> tuple[ActionView, ...]:
        """Draw all, oldest first."""
        return tuple(
            ActionView(
                serial=entry.serial,
                at=entry.at,
                who=entry.who,
                action=entry.action,
                target=entry.target,
                reason=entry.reason,
                state=entry.state,
                words=entry.words,
                id=entry.id,
                operation=entry.operation,
                running=entry.operation is not None and not entry.over,
            )
            for entry in self._entries
        )

    def _add(
        self,
        at: float,
        action: str,
        target: str,
        who: str,
        reason: str,
        state: ActionState,
    ) -> _Entry:
        self._serial += 1
        entry = _Entry(self._serial, at, who, action, target, reason, state)
        self._entries.append(entry)
        return entry

    def _note_operation(self, entry: _Entry, target: str) -> None:
        """Of an operation the mesh only tells that it was begun."""
        if entry.action in _BEGINS:
            entry.operation, entry.words = UUID(target), "begun"

    def _of(self, serial: int) -> _Entry | None:
        return next((e for e in self._entries if e.serial == serial), None)

    def _matching(self, told: OperatorActed | AuditEntry) -> _Entry | None:
        """Find what is told of, by its id or as ours that has none yet."""
        for entry in self._entries:
            if entry.id == told.id:
                return entry
        for entry in self._entries:
            goes_on = entry.state in _OPEN or entry.operation is not None
            unnamed = entry.id is None and goes_on
            same = (entry.action, entry.subject) == (told.action, told.target)
            if unnamed and same and entry.who in told.who:
                return entry
        return None

    def _end(self, serial: int, state: ActionState, words: str) -> None:
        ours = self._of(serial)
        if ours is not None:
            ours.state, ours.words = state, words


_BEGINS = frozenset({Action.LETTERS_REPLAYED, Action.LETTERS_DISCARDED})
_OPEN = frozenset({ActionState.PENDING, ActionState.UNKNOWN})
_STATES = {
    Effect.PENDING: ActionState.PENDING,
    Effect.DONE: ActionState.DONE,
    Effect.FAILED: ActionState.FAILED,
}
