"""The keys that change a lane or its channel, on every screen that has one in hand."""

from abc import abstractmethod
from collections.abc import Callable

from console.changes import Change
from console.keys import Key
from console.model.views import LaneView, Snapshot
from console.operator import Operator
from console.screens import lane_changes
from console.screens.mesh_screen import MeshScreen

_KEYS = frozenset({"pause", "limit", "undo-limit"})


class LaneActions(MeshScreen):
    """A screen on which lanes can be paused and channels limited."""

    @abstractmethod
    def lane_in_hand(self) -> LaneView | None:
        """Return the lane that a key concerns."""

    def illegal(self, key: Key) -> str:
        """Say why nothing can be done to a lane."""
        if key.id in _KEYS and self.lane_in_hand() is None:
            return "no lane is selected"
        return super().illegal(key)

    def action_pause(self) -> None:
        """Pause the lane or its channel, or resume it."""
        self._propose(lane_changes.pause_or_resume)

    def action_limit(self) -> None:
        """Limit the lane's channel."""
        self._propose(lane_changes.limit)

    def action_undo_limit(self) -> None:
        """Undo the last change of the channel's limit."""
        self._propose(lane_changes.undo_limit)

    def _propose(self, make: Callable[[LaneView, Snapshot, Operator], Change]) -> None:
        lane, picture = self.lane_in_hand(), self.picture
        operator = picture.acting.operator if picture is not None else None
        if lane is not None and picture is not None and operator is not None:
            self.propose(make(lane, picture.snapshot, operator))
