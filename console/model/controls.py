"""What operators ordered, as it stands on the bus: pauses and limits, with who and why."""

from console.model.views import ControlsView, LimitView, PauseView
from contracts import controls
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.controls import AnyControl, Pause, RateLimit
from contracts.oversight import target_of_lane

_RATE_PREFIX = "rate."


class ControlBook:
    """The controls that stand."""

    def __init__(self) -> None:
        self._standing: dict[str, AnyControl] = {}

    def hear(self, key: str, control: AnyControl | None) -> None:
        """Take note of a control, or that it was taken back."""
        if control is None:
            self._standing.pop(key, None)
        else:
            self._standing[key] = control

    def view(self) -> ControlsView:
        """Draw what stands."""
        paused = {str(lane): self._pause(lane) for lane in LANES}
        return ControlsView(
            pauses={lane: pause for lane, pause in paused.items() if pause},
            limits={
                key.removeprefix(_RATE_PREFIX): _limit(control)
                for key, control in self._standing.items()
                if isinstance(control, RateLimit)
            },
        )

    def _pause(self, lane: Lane) -> PauseView | None:
        """Return what pauses a lane: that of its channel comes first."""
        channel = self._standing.get(controls.pause_key(lane.channel))
        if isinstance(channel, Pause):
            return _paused(channel, lane.channel)
        own = self._standing.get(controls.pause_key(*lane))
        return _paused(own, *lane) if isinstance(own, Pause) else None


def _paused(
    pause: Pause, channel: Channel, priority: Priority | None = None
) -> PauseView:
    return PauseView(
        target=target_of_lane(channel, priority),
        by=pause.by,
        at=pause.at.timestamp(),
        reason=pause.reason,
    )


def _limit(limit: RateLimit) -> LimitView:
    return LimitView(
        per_second=limit.per_second,
        by=limit.by,
        at=limit.at.timestamp(),
        reason=limit.reason,
    )
