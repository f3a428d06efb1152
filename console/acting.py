"""The acting half of the console: who acts, what stands against it, and what came of it."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from console.changes import Change, Choices, Outcome
from console.keys import Level
from console.model.actions import ActionLog
from console.model.views import ActionState, LinkView
from console.operator import (
    AuditEntry,
    GatewayError,
    Notification,
    Operation,
    Operator,
    Refused,
)
from console.place import Place
from contracts.operations import OperationState
from contracts.oversight import Action

REACH_SECONDS = 2.0
FOLLOW_SECONDS = 1.0
#: The bus tells at once what was done. When it is silent for longer, the audit is asked.
SILENT_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the command line lets the operator do."""

    armed: bool = False
    destructive: bool = False
    without: str = ""
    """Why there is no gateway at all."""


class Acting:
    """Does what was decided, and follows it until the mesh says what became of it."""

    def __init__(
        self,
        operator: Operator | None,
        log: ActionLog,
        rights: Rights,
        clock: Callable[[], float],
    ) -> None:
        self.operator = operator
        self.trouble = rights.without if operator is None else ""
        """Why nothing can be looked up or changed; empty while the gateway answers."""
        self.reached = False
        """Whether the gateway has ever answered."""
        self._log = log
        self._rights = rights
        self._clock = clock
        self._begun_at: dict[int, float] = {}

    @property
    def armed(self) -> bool:
        """Whether anything may be changed."""
        return self._rights.armed

    def hindrance(self, level: Level, place: Place, link: LinkView) -> str:
        """Say what stands against a change now; empty when nothing does."""
        if level is Level.READ:
            return ""
        if place.replayed:
            return "a recording cannot be changed"
        if not self._rights.armed:
            return "read-only: start with --rw"
        destroys = level is Level.DESTROY and place.is_production
        if destroys and not self._rights.destructive:
            return "production: start with --allow-destructive"
        if link.stale or link.age_seconds is None:
            return "no news from the bus"
        if self.operator is None:
            return f"no gateway: {self.trouble}"
        return f"no gateway: {self.trouble}" if self.trouble else ""

    async def watch(self) -> None:
        """Ask again and again whether the gateway answers, and what became of changes."""
        if self.operator is None:
            return
        while True:
            try:
                await self.operator.reach()
            except GatewayError as error:
                self.trouble = str(error)
            else:
                self.trouble, self.reached = "", True
                await self._follow(self.operator)
            await asyncio.sleep(
                FOLLOW_SECONDS if self._log.pending() else REACH_SECONDS
            )

    async def perform(self, change: Change, choices: Choices) -> str:
        """Do what was decided; returns a sentence for the operator."""
        assert self.operator is not None
        now = self._clock()
        serial = self._log.begin(
            now, change.action, change.target, self.operator.who, choices.reason
        )
        self._begun_at[serial] = now
        try:
            outcome = await change.act(choices)
        except Refused as error:
            self._log.refused(serial, str(error))
            return f"refused: {error}"
        except GatewayError as error:
            self._log.lost(serial, str(error))
            return f"no answer, look whether it was done: {error}"
        self._note(serial, change, outcome)
        return f"asked for: {change.title}"

    async def remember(self) -> None:
        """Take what the audit has into the log; raises GatewayError."""
        if self.operator is not None:
            self._log.remember((await self.operator.audit()).items)

    def _note(self, serial: int, change: Change, outcome: Outcome) -> None:
        match outcome:
            case AuditEntry():
                self._log.accepted(serial, outcome)
            case Operation():
                stops = change.action is Action.OPERATION_STOPPED
                begun = None if stops else outcome.id
                self._log.awaits(serial, str(outcome.id), begun)
                self._told(outcome)
            case Notification():
                self._log.awaits(serial, str(outcome.id))
            case _:
                assert_never(outcome)

    async def _follow(self, operator: Operator) -> None:
        """Ask for operations that go on, and for what the bus has not told."""
        with contextlib.suppress(GatewayError):  # asked again with the next round
            if going := self._log.operations():
                for operation in await operator.operations():
                    self._told(operation)
                    going.discard(operation.id)
                for unknown in going:
                    self._log.forget(unknown)
            now = self._clock()
            untold = [
                serial
                for serial in self._log.pending()
                if now - self._begun_at.get(serial, now) > SILENT_SECONDS
            ]
            if untold:
                await self.remember()

    def _told(self, operation: Operation) -> None:
        words = f"{operation.done:,} of {operation.total:,}"
        if operation.refused:
            words += f", {operation.refused:,} refused"
        self._log.progress(operation.id, words, _STATES[operation.state])


_STATES = {
    OperationState.RUNNING: ActionState.PENDING,
    OperationState.FINISHED: ActionState.DONE,
    OperationState.STOPPED: ActionState.STOPPED,
}
