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

#: The gateway is asked so often whether it is there, and has so long to answer: that it is
#: gone shows within two seconds.
REACH_SECONDS = 0.5
ANSWER_SECONDS = 1.0
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
        self.dirty = False
        """Whether the gateway came or went since somebody last set this to False."""
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
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reach(self.operator), name="console.reach")
            group.create_task(self._follow(self.operator), name="console.follow")

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

    async def _reach(self, operator: Operator) -> None:
        while True:
            trouble = await _trouble_of(operator)
            self.dirty |= trouble != self.trouble or not (trouble or self.reached)
            self.trouble, self.reached = trouble, self.reached or not trouble
            await asyncio.sleep(REACH_SECONDS)

    async def _follow(self, operator: Operator) -> None:
        while True:
            with contextlib.suppress(GatewayError):  # asked again with the next round
                await self._ask(operator)
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _ask(self, operator: Operator) -> None:
        """Ask for operations that go on, and for what the bus has not told."""
        if going := self._log.operations():
            for operation in await operator.operations():
                self._told(operation)
                going.discard(operation.id)
            for unknown in going:
                self._log.forget(unknown)
        now = self._clock()
        if any(
            now - self._begun_at.get(serial, now) > SILENT_SECONDS
            for serial in self._log.pending()
        ):
            await self.remember()

    def _told(self, operation: Operation) -> None:
        words = f"{operation.done:,} of {operation.total:,}"
        if operation.refused:
            words += f", {operation.refused:,} refused"
        self._log.progress(operation.id, words, _STATES[operation.state])


async def _trouble_of(operator: Operator) -> str:
    """Say why nobody answers; empty when somebody does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await operator.reach()
    except TimeoutError:
        return f"no answer within {ANSWER_SECONDS:g} s"
    except GatewayError as error:
        return str(error)
    return ""


_STATES = {
    OperationState.RUNNING: ActionState.PENDING,
    OperationState.FINISHED: ActionState.DONE,
    OperationState.STOPPED: ActionState.STOPPED,
}
