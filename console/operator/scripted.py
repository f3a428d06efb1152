"""An operator's port with a small world of its own: for tests, and to show the console."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from console.operator.asked import LaneTarget, LetterPage, LimitTarget, Sought
from contracts.breakers import BreakerCondition
from contracts.channels import LANES, Lane
from contracts.controls import BreakerOrder, Pause
from contracts.ids import new_id
from contracts.lifecycle import CANCELLABLE, Status
from contracts.messages import OperatorActed
from contracts.operations import LetterFilter, OperationKind, OperationState, Resolution
from contracts.oversight import (
    Action,
    AuditEntry,
    AuditPage,
    Effect,
    Found,
    FoundList,
    LaneStanding,
    LimitStanding,
    Override,
    ProviderStanding,
    Schedule,
)
from contracts.problems import Problem, ProblemType
from ops.client import Notification, Refused, Trace, TraceEntry, Unreachable
from ops.letters import Forecast, Group, Letter, Operation

_SAMPLES = 3


class ScriptedOperator:
    """Answers and acts in memory. What it did is in ``acted``, for its caller to announce."""

    def __init__(
        self,
        who: str = "ann",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ids: Callable[[], UUID] = new_id,
    ) -> None:
        self.who = who
        self.away = False
        """Whether nobody answers."""
        self.acted: list[OperatorActed] = []
        self.jobs = Schedule(jobs=[], runs=[])
        self._clock = clock
        self._new_id = ids
        self._found: dict[UUID, Found] = {}
        self._traces: dict[UUID, list[TraceEntry]] = {}
        self._letters: list[Letter] = []
        self._operations: list[Operation] = []
        self._audit: list[AuditEntry] = []
        self._pauses: dict[str, Pause] = {}
        self._limits: dict[str, LimitStanding] = {}
        self._breakers: dict[str, ProviderStanding] = {}

    def add(self, notification: Found, entries: Iterable[TraceEntry] = ()) -> None:
        """Have a notification with its trace."""
        self._found[notification.id] = notification
        self._traces[notification.id] = list(entries)

    def bury(self, *letters: Letter) -> None:
        """Have dead letters, too."""
        self._letters += letters

    def carry(self, *providers: str) -> None:
        """Have providers, their breakers closed."""
        for name in providers:
            self._breakers[name] = _standing(name, BreakerCondition.CLOSED)

    def finish(self, id_: UUID, *, refused: int = 0) -> None:
        """Bring an operation to its end."""
        operation = self._begun(id_)
        self._put(
            operation,
            state=OperationState.FINISHED,
            done=operation.total - refused,
            refused=refused,
            finished_at=self._clock(),
        )

    async def reach(self) -> None:
        """Return when somebody answers."""
        self._answer()

    async def find(self, sought: Sought, limit: int = 20) -> FoundList:
        """Return the notifications that are sought, newest first."""
        self._answer()
        found = [one for one in self._found.values() if _is(one, sought)]
        found.sort(key=lambda one: one.id, reverse=True)
        return FoundList(items=found[:limit])

    async def notification(self, id_: UUID) -> Notification:
        """Return how a notification stands."""
        self._answer()
        if id_ not in self._found:
            raise _refusal(
                ProblemType.NOT_FOUND, "there is no notification with this id"
            )
        return msgspec.convert(self._found[id_], Notification, from_attributes=True)

    async def trace(self, id_: UUID) -> Trace:
        """Return all that happened to a notification."""
        await self.notification(id_)
        return Trace(notification_id=id_, entries=list(self._traces[id_]))

    async def letter_groups(self, which: LetterFilter) -> list[Group]:
        """Return what the open dead letters died of, the most frequent first."""
        self._answer()
        causes: dict[tuple[str, str, str], list[Letter]] = {}
        for letter in self._picked(which, "open"):
            cause = (letter.channel, letter.class_, letter.reason)
            causes.setdefault(cause, []).append(letter)
        groups = [
            Group(
                channel=channel,
                class_=class_,
                reason=reason,
                count=len(letters),
                first=min(letter.failed_at for letter in letters),
                last=max(letter.failed_at for letter in letters),
            )
            for (channel, class_, reason), letters in causes.items()
        ]
        return sorted(groups, key=lambda group: -group.count)

    async def letters(
        self,
        which: LetterFilter,
        *,
        state: str = "open",
        limit: int = 100,
        cursor: UUID | None = None,
    ) -> LetterPage:
        """Return a page of dead letters, newest first."""
        self._answer()
        letters = [
            letter
            for letter in self._picked(which, state)
            if cursor is None or letter.id < cursor
        ]
        items = letters[:limit]
        more = items[-1].id if len(letters) > limit else None
        return LetterPage(items=items, next_cursor=more)

    async def operations(self) -> list[Operation]:
        """Return the newest operations, newest first."""
        self._answer()
        return list(reversed(self._operations))

    async def operation(self, id_: UUID) -> Operation:
        """Return how far an operation has come."""
        self._answer()
        return self._begun(id_)

    async def audit(
        self, *, limit: int = 50, before: UUID | None = None, action: str | None = None
    ) -> AuditPage:
        """Return what operators did, newest first."""
        self._answer()
        entries = [
            entry
            for entry in reversed(self._audit)
            if (before is None or entry.id < before) and action in {None, entry.action}
        ]
        items = entries[:limit]
        more = items[-1].id if len(entries) > limit else None
        return AuditPage(items=items, next_cursor=more)

    async def schedule(self, *, job: str | None = None, limit: int = 50) -> Schedule:
        """Return the scheduler's jobs and their recorded runs."""
        self._answer()
        runs = [run for run in self.jobs.runs if job in {None, run.job}]
        return Schedule(jobs=self.jobs.jobs, runs=runs[:limit])

    async def lanes(self) -> list[LaneStanding]:
        """Return the lanes with their pauses and limits."""
        self._answer()
        return [self._lane(lane) for lane in LANES]

    async def breakers(self) -> list[ProviderStanding]:
        """Return the providers' breakers."""
        self._answer()
        return list(self._breakers.values())

    async def limits(self) -> list[LimitStanding]:
        """Return the limits that operators have set."""
        self._answer()
        return list(self._limits.values())

    async def pause(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Have a lane, or a whole channel, hold back what it has."""
        self._answer()
        self._pauses[str(target)] = Pause(by=self.who, at=self._clock(), reason=reason)
        return self._record(Action.LANE_PAUSED, str(target), reason)

    async def resume(self, target: LaneTarget, reason: str) -> AuditEntry:
        """Take a pause back."""
        self._answer()
        self._pauses.pop(str(target), None)
        return self._record(Action.LANE_RESUMED, str(target), reason)

    async def order_breaker(
        self, provider: str, order: BreakerOrder, reason: str
    ) -> AuditEntry:
        """Order a provider's breaker."""
        self._answer()
        if provider not in self._breakers:
            raise _refusal(ProblemType.NOT_FOUND, f"there is no provider {provider}")
        now = self._clock()
        opened = order is BreakerOrder.OPEN
        override = Override(order=order, by=self.who, at=now, reason=reason)
        self._breakers[provider] = _standing(
            provider,
            _AFTER[order],
            since=now,
            forced=opened,
            override=override if opened else None,
        )
        return self._record(Action.BREAKER_ORDERED, provider, reason, order=order.value)

    async def set_limit(
        self, target: LimitTarget, per_second: float, reason: str
    ) -> AuditEntry:
        """Set what a channel or provider may send per second."""
        self._answer()
        before = self._limits.get(str(target))
        self._limits[str(target)] = LimitStanding(
            target=str(target),
            per_second=per_second,
            by=self.who,
            at=self._clock(),
            reason=reason,
        )
        return self._record(
            Action.LIMIT_SET,
            str(target),
            reason,
            per_second=per_second,
            **_previous(before),
        )

    async def clear_limit(self, target: LimitTarget, reason: str) -> AuditEntry:
        """Go back to the limit of the settings."""
        self._answer()
        before = self._limits.pop(str(target), None)
        previous = before.per_second if before else None
        return self._record(
            Action.LIMIT_CLEARED, str(target), reason, previous=previous
        )

    async def forecast(self, kind: OperationKind, which: LetterFilter) -> Forecast:
        """Say what a replay or discard would do."""
        self._answer()
        letters = self._picked(which, "open")
        refused = {"expired": 0, "redacted": 0, "gone": 0}
        return Forecast(
            count=len(letters),
            refused=refused if kind is OperationKind.REPLAY else {},
            samples=letters[:_SAMPLES],
        )

    async def replay(
        self, which: LetterFilter, *, reason: str, rate_per_second: float
    ) -> Operation:
        """Have failed notifications sent again, at a rate."""
        return self._begin(OperationKind.REPLAY, which, reason, rate_per_second)

    async def discard(self, which: LetterFilter, *, reason: str) -> Operation:
        """Have dead letters put away."""
        return self._begin(OperationKind.DISCARD, which, reason)

    async def stop(self, id_: UUID) -> Operation:
        """Stop an operation."""
        self._answer()
        operation = self._begun(id_)
        if operation.state is not OperationState.RUNNING:
            return operation
        self._record(Action.OPERATION_STOPPED, str(id_), "")
        return self._put(
            operation, state=OperationState.STOPPED, finished_at=self._clock()
        )

    async def cancel(self, id_: UUID, reason: str) -> Notification:
        """Call a notification back before it is sent."""
        notification = await self.notification(id_)
        if notification.status not in CANCELLABLE:
            raise _refusal(
                ProblemType.INVALID_TRANSITION,
                f"the notification is {notification.status} and cannot become cancelled",
            )
        now = self._clock()
        self._found[id_] = msgspec.structs.replace(
            self._found[id_], status=Status.CANCELLED, updated_at=now, cancelled_at=now
        )
        self._traces[id_].append(TraceEntry(event=Status.CANCELLED, created_at=now))
        self._record(Action.NOTIFICATION_CANCELLED, str(id_), reason)
        return await self.notification(id_)

    def _answer(self) -> None:
        if self.away:
            raise Unreachable("http://gateway cannot be reached: Connection refused")

    def _lane(self, lane: Lane) -> LaneStanding:
        targets = [LaneTarget(lane.channel), LaneTarget(*lane)]
        paused = next((t for t in map(str, targets) if t in self._pauses), None)
        pause = self._pauses[paused] if paused is not None else None
        limit = self._limits.get(str(LimitTarget("channel", lane.channel)))
        return LaneStanding(
            channel=lane.channel,
            priority=lane.priority,
            queued=0,
            in_flight=0,
            paused=pause is not None,
            paused_as=paused,
            paused_by=pause.by if pause else None,
            paused_why=pause.reason if pause else None,
            paused_at=pause.at if pause else None,
            limit_per_second=limit.per_second if limit else None,
        )

    def _picked(self, which: LetterFilter, state: str) -> list[Letter]:
        letters = [
            letter
            for letter in self._letters
            if state in {"all", letter.state} and _passes(letter, which)
        ]
        return sorted(letters, key=lambda letter: letter.id, reverse=True)

    def _begin(
        self,
        kind: OperationKind,
        which: LetterFilter,
        reason: str,
        rate_per_second: float | None = None,
    ) -> Operation:
        self._answer()
        picked = {letter.id for letter in self._picked(which, "open")}
        operation = Operation(
            id=self._new_id(),
            kind=kind,
            state=OperationState.RUNNING,
            total=len(picked),
            done=0,
            refused=0,
            who=self.who,
            reason=reason,
            created_at=self._clock(),
            rate_per_second=rate_per_second,
        )
        self._operations.append(operation)
        resolved = _RESOLVED[kind]
        self._letters = [
            msgspec.structs.replace(letter, state=resolved)
            if letter.id in picked
            else letter
            for letter in self._letters
        ]
        self._record(_ACTIONS[kind], str(operation.id), reason)
        return operation

    def _begun(self, id_: UUID) -> Operation:
        for operation in self._operations:
            if operation.id == id_:
                return operation
        raise _refusal(ProblemType.NOT_FOUND, "there is no operation with this id")

    def _put(self, operation: Operation, **changes: Any) -> Operation:
        changed = msgspec.structs.replace(operation, **changes)
        self._operations[self._operations.index(operation)] = changed
        return changed

    def _record(
        self, action: Action, target: str, reason: str, **details: Any
    ) -> AuditEntry:
        entry = AuditEntry(
            id=self._new_id(),
            action=action.value,
            target=target,
            who=self.who,
            reason=reason,
            at=self._clock(),
            tenant="default",
            effect=Effect.DONE,
            details=details,
        )
        self._audit.append(entry)
        said = {name: getattr(entry, name) for name in OperatorActed.__struct_fields__}
        self.acted.append(OperatorActed(**said))
        return entry


_AFTER = {
    BreakerOrder.OPEN: BreakerCondition.OPEN,
    BreakerOrder.PROBE: BreakerCondition.HALF_OPEN,
    BreakerOrder.RESET: BreakerCondition.CLOSED,
}
_ACTIONS = {
    OperationKind.REPLAY: Action.LETTERS_REPLAYED,
    OperationKind.DISCARD: Action.LETTERS_DISCARDED,
}
_RESOLVED = {
    OperationKind.REPLAY: Resolution.REPLAYED,
    OperationKind.DISCARD: Resolution.DISCARDED,
}


def _passes(letter: Letter, which: LetterFilter) -> bool:
    after, before = which.failed_after, which.failed_before
    return (
        (which.ids is None or bool({letter.id, letter.notification_id} & {*which.ids}))
        and which.channel in {None, letter.channel}
        and which.priority in {None, letter.priority}
        and which.class_ in {None, letter.class_}
        and which.reason in {None, letter.reason}
        and (after is None or letter.failed_at >= after)
        and (before is None or letter.failed_at < before)
    )


def _is(notification: Found, sought: Sought) -> bool:
    return (
        sought.id in {None, notification.id}
        and sought.idempotency_key in {None, notification.idempotency_key}
        and sought.recipient_hash in {None, notification.recipient_hash}
    )


def _previous(before: LimitStanding | None) -> dict[str, Any]:
    return {"previous": msgspec.to_builtins(before)} if before else {}


def _standing(
    provider: str, breaker: BreakerCondition, **changes: Any
) -> ProviderStanding:
    values = {"shares": {}, "forced": False, "sends": 0, "failures": 0, **changes}
    return ProviderStanding(provider=provider, breaker=breaker, **values)


def _refusal(kind: ProblemType, detail: str) -> Refused:
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance="",
        correlation_id="",
    )
    return Refused(problem, None)
