"""What an operator may do to a lane and its channel, as changes to confirm."""

from collections.abc import Awaitable, Callable, Sequence

from console import formats
from console.changes import Change, Choices, Number, Preview
from console.keys import Level
from console.model.views import LaneView, Snapshot
from console.operator import AuditEntry, LaneTarget, LimitTarget, Operator
from contracts.channels import Channel
from contracts.oversight import Action

_LIMIT_AT_MOST = 1_000_000.0


def pause_or_resume(lane: LaneView, snapshot: Snapshot, operator: Operator) -> Change:
    """Pause a lane, or else its channel; resume it when it is paused."""
    pause = snapshot.controls.pauses.get(lane.key)
    own = LaneTarget(lane.channel, lane.priority)
    if pause is not None:
        whole = pause.target != str(own)
        lanes = _lanes_of(lane.channel, snapshot) if whole else [lane]
        return _resume(LaneTarget(lane.channel) if whole else own, lanes, operator)
    effect = f"Nothing more is sent from {lane.key}; {_waiting([lane])}."
    return Change(
        action=Action.LANE_PAUSED,
        title=f"Pause {lane.key}",
        target=str(own),
        level=Level.ONE,
        effect=effect,
        act=lambda choices: operator.pause(own, choices.reason),
        wider=_pause_channel(lane.channel, snapshot, operator),
    )


def _pause_channel(channel: Channel, snapshot: Snapshot, operator: Operator) -> Change:
    lanes = _lanes_of(channel, snapshot)
    target = LaneTarget(channel)
    effect = f"Nothing more is sent from all of {channel}; {_waiting(lanes)}."
    samples = [
        f"{lane.key:<14}{formats.count(lane.queued):>9} queued" for lane in lanes
    ]
    return Change(
        action=Action.LANE_PAUSED,
        title=f"Pause all of {channel}",
        target=str(target),
        level=Level.MANY,
        effect=effect,
        act=lambda choices: operator.pause(target, choices.reason),
        preview=_known(Preview(effect=effect, typed=channel, samples=tuple(samples))),
    )


def _resume(
    target: LaneTarget, lanes: Sequence[LaneView], operator: Operator
) -> Change:
    whole = target.priority is None
    name = (
        f"all of {target.channel}" if whole else f"{target.channel}/{target.priority}"
    )
    effect = f"Sending from {name} goes on; {_waiting(lanes)}."
    return Change(
        action=Action.LANE_RESUMED,
        title=f"Resume {name}",
        target=str(target),
        level=Level.MANY if whole else Level.ONE,
        effect=effect,
        act=lambda choices: operator.resume(target, choices.reason),
        preview=_known(Preview(effect=effect, typed=target.channel)) if whole else None,
    )


def limit(lane: LaneView, snapshot: Snapshot, operator: Operator) -> Change:
    """Set what a lane's channel may send."""
    channel = lane.channel
    target = LimitTarget("channel", channel)
    view = next(view for view in snapshot.channels if view.channel is channel)
    now = _limited(view.limit)
    effect = f"All dispatchers together may send so much of {channel}; now {now}."

    async def act(choices: Choices) -> AuditEntry:
        assert choices.number is not None
        return await operator.set_limit(target, choices.number, choices.reason)

    return Change(
        action=Action.LIMIT_SET,
        title=f"Limit {channel}",
        target=str(target),
        level=Level.MANY,
        effect=effect,
        act=act,
        preview=_known(Preview(effect=effect, typed=channel)),
        number=Number(
            label="per second (0 is unlimited)",
            preset=None,
            least=0.0,
            most=_LIMIT_AT_MOST,
        ),
    )


class _Undo:
    """The last change of a channel's limit, found in the audit, and its undoing."""

    def __init__(self, channel: Channel, operator: Operator) -> None:
        self.target = LimitTarget("channel", channel)
        self._channel = channel
        self._operator = operator
        self._before: float | None = None

    async def preview(self) -> Preview:
        """Find the change, and say what its undoing would do."""
        last = await self._last()
        if last is None:
            words = f"Nobody has changed the limit of {self._channel}."
            return Preview(effect=words, typed="", nothing=True)
        self._before = _limit_before(last)
        back = "the settings" if self._before is None else _limited(self._before)
        at = formats.clock(last.at.timestamp())
        effect = (
            f"The limit of {self._channel} goes back to {back}:"
            f" what {last.who} changed at {at} is undone."
        )
        return Preview(effect=effect, typed=self._channel)

    async def act(self, choices: Choices) -> AuditEntry:
        """Set what was before; what was not set is cleared."""
        if self._before is None:
            return await self._operator.clear_limit(self.target, choices.reason)
        return await self._operator.set_limit(self.target, self._before, choices.reason)

    async def _last(self) -> AuditEntry | None:
        entries = [
            entry
            for action in (Action.LIMIT_SET, Action.LIMIT_CLEARED)
            for entry in (await self._operator.audit(action=action)).items
            if entry.target == str(self.target)
        ]
        return max(entries, key=lambda entry: entry.at, default=None)


def undo_limit(lane: LaneView, _snapshot: Snapshot, operator: Operator) -> Change:
    """Take the last change of the limit of a lane's channel back."""
    channel = lane.channel
    undo = _Undo(channel, operator)
    return Change(
        action=Action.LIMIT_SET,
        title=f"Undo the limit of {channel}",
        target=str(undo.target),
        level=Level.MANY,
        effect=f"The last change of the limit of {channel} is undone.",
        act=undo.act,
        preview=undo.preview,
    )


def _limit_before(entry: AuditEntry) -> float | None:
    """Return what the limit was before a change; None when none was set."""
    before = entry.details.get("previous")
    per_second = before.get("per_second") if isinstance(before, dict) else before
    return None if per_second is None else float(per_second)


def _limited(per_second: float | None) -> str:
    return "unlimited" if not per_second else f"{per_second:,g} per second"


def _waiting(lanes: Sequence[LaneView]) -> str:
    queued = sum(lane.queued or 0 for lane in lanes)
    return f"{formats.count(queued)} {'is' if queued == 1 else 'are'} queued"


def _lanes_of(channel: Channel, snapshot: Snapshot) -> list[LaneView]:
    return [lane for lane in snapshot.lanes if lane.channel is channel]


def _known(preview: Preview) -> Callable[[], Awaitable[Preview]]:
    async def look() -> Preview:
        return preview

    return look
