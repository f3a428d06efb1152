"""Lanes: how they stand, and pauses of one or of a whole channel."""

from contracts import controls
from contracts.channels import Channel, Priority
from contracts.controls import Pause
from contracts.oversight import Action, LaneStandings, target_of_lane
from contracts.problems import ProblemType
from gateway import standings
from gateway.changes import Changes, Wish, bus_away, standing
from gateway.depths import waiting
from gateway.errors import Refusal
from gateway.house import House
from gateway.ops_requests import (
    channel_in_path,
    priority_in_path,
    reason_of,
)
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from gateway.states import States
from gateway.views import encode
from ops.runtime.bus import Bus

PATH = "/api/v1/ops/lanes"
CHANNEL = f"{PATH}/<channel>"
LANE = f"{CHANNEL}/<priority>"


class Lanes:
    """Handlers of lanes."""

    def __init__(self, changes: Changes, states: States, bus: Bus) -> None:
        self._changes = changes
        self._states = states
        self._bus = bus

    def routes(self, house: House) -> list[Route]:
        """Return what is served here."""
        return [
            Route(name, method, path, house.only(handler), Permission.OPERATE)
            for name, method, path, handler in (
                (RouteName.LIST_LANES, "GET", PATH, self.list),
                (RouteName.PAUSE_CHANNEL, "POST", f"{CHANNEL}/pause", self.pause),
                (RouteName.RESUME_CHANNEL, "POST", f"{CHANNEL}/resume", self.resume),
                (RouteName.PAUSE_LANE, "POST", f"{LANE}/pause", self.pause),
                (RouteName.RESUME_LANE, "POST", f"{LANE}/resume", self.resume),
            )
        ]

    async def list(self, _call: Call) -> Answer:
        """Show how every lane stands."""
        if not self._bus.nc.is_connected:
            raise bus_away()
        items = standings.lanes(
            await waiting(self._bus.js),
            self._states.living("dispatcher"),
            standings.read_controls(await standing(self._bus)),
        )
        return Answer(200, encode(LaneStandings(items=items)))

    async def pause(self, call: Call, channel: str, priority: str = "") -> Answer:
        """Have nothing sent from a lane; what it holds waits."""
        lane = _lane(channel, priority)

        def wish_in(body: bytes) -> Wish:
            reason = reason_of(body)
            return Wish(
                Action.LANE_PAUSED,
                target_of_lane(*lane),
                controls.pause_key(*lane),
                reason,
                lambda who, at: Pause(by=who, at=at, reason=reason),
            )

        return await self._changes.make(call, wish_in)

    async def resume(self, call: Call, channel: str, priority: str = "") -> Answer:
        """Take a pause back; taking back one that is not there changes nothing."""
        lane = _lane(channel, priority)

        async def check() -> None:
            if lane[1] is not None and controls.pause_key(lane[0]) in await standing(
                self._bus
            ):
                raise Refusal(
                    ProblemType.INVALID_TRANSITION,
                    f"the whole channel {lane[0]} is paused: resume that",
                )

        def wish_in(body: bytes) -> Wish:
            return Wish(
                Action.LANE_RESUMED,
                target_of_lane(*lane),
                controls.pause_key(*lane),
                reason_of(body),
                None,
                check=check,
            )

        return await self._changes.make(call, wish_in)


def _lane(channel: str, priority: str) -> tuple[Channel, Priority | None]:
    known = channel_in_path(channel)
    return known, priority_in_path(priority) if priority else None
