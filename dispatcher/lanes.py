"""Pulls the three lanes of one channel from the bus.

A lane that has work is asked for a number with ``no_wait``: the server sends what it has and,
when that is less, ends with status 404. A lane that has none keeps one waiting pull of one
message open, so that the first arrival is here within a millisecond and nothing polls.
"""

import asyncio
import math
import time
from collections.abc import Collection
from functools import partial

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts import subjects
from contracts.channels import Channel, Lane, Priority
from contracts.messages import NotificationQueued
from contracts.topology import lane_consumer
from dispatcher import answers
from dispatcher.answers import Answers
from dispatcher.holdings import Holding
from dispatcher.metrics import Metrics
from ops.runtime.bus import Bus

log = structlog.stdlib.get_logger()

STANDING_SECONDS = 20.0
HEARTBEAT_SECONDS = 2.0
#: Without a heartbeat for this long the server has forgotten a standing pull.
_SILENCE_SECONDS = 2 * HEARTBEAT_SECONDS + 0.5
#: A pull that does not wait is answered at once, unless the lane's consumer has as many
#: messages unacknowledged as it may.
_BATCH_SECONDS = 0.5
_REFUSED_PAUSE_SECONDS = 0.5
#: A lane that goes on being refused is not logged twice in this time.
_SAID_AGAIN_SECONDS = 30.0
_DRAIN_SECONDS = 1.0

_decode = msgspec.json.Decoder(NotificationQueued).decode


class _Order:
    """One pull request that the server has not finished."""

    __slots__ = ("deadline", "left", "number", "size", "stands")

    def __init__(self, number: int, size: int, seconds: float, *, stands: bool) -> None:
        self.number = number
        self.size = size
        self.left = size
        self.stands = stands
        self.heard(seconds)

    def heard(self, seconds: float) -> None:
        """Expect to hear of it again within so many seconds."""
        self.deadline = time.monotonic() + seconds

    def depth_after(self, pending: int) -> int:
        """Return how many messages the lane is believed to have now that all have come.

        Twice as many as now, so that what the bus brings again, which it does not count as
        pending, is found as fast as new work. A pull for several that stood open has brought
        that too.
        """
        return pending if self.stands and self.size > 1 else max(pending, 2 * self.size)


class LaneView:
    """One lane as this process knows it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.subject = subjects.notify(lane)
        consumer = lane_consumer(lane)
        self.next_subject = (
            f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"
        )
        self.inbox = ""
        self.subscription: Subscription | None = None
        self.order: _Order | None = None
        self.arrived: list[Msg] = []
        self.depth = 1  #: believed to wait; 0 calls for a standing pull
        self.refused_until = -math.inf


class Lanes:
    """The lanes of one channel, each over a subscription of its own.

    A lane that is held has none: the server lets go of its open pulls, so that nothing more
    comes from it.

    ``changed`` is set when there is something to take or a lane can be asked again.
    """

    def __init__(
        self,
        bus: Bus,
        channel: Channel,
        answers: Answers,
        metrics: Metrics,
        changed: asyncio.Event,
    ) -> None:
        self._changed = changed
        self._bus = bus
        self._channel = channel
        self._answers = answers
        self._metrics = metrics
        self.views = {p: LaneView(Lane(channel, p)) for p in Priority}
        self._is_open = False
        self._numbers = 0
        bus.on_reconnect(self._forget_orders)

    @property
    def outstanding(self) -> int:
        """Return how many messages have come, or may still come for the open pulls."""
        to_come = (v.order.left for v in self.views.values() if v.order is not None)
        return sum(to_come) + sum(len(v.arrived) for v in self.views.values())

    def check(self) -> None:
        """Raise while the bus does not let these lanes be pulled."""
        if not self._is_open:
            raise ConnectionError("the lanes are not open")
        now = time.monotonic()
        if any(view.refused_until > now for view in self.views.values()):
            raise ConnectionError("the bus refuses to be pulled")

    async def hold(self, held: Collection[Priority]) -> None:
        """Let messages come from all lanes but these; nothing comes before a lane is asked.

        Messages that were already sent here still arrive.
        """
        await asyncio.gather(*(self._close(self.views[priority]) for priority in held))
        for priority, view in self.views.items():
            if priority not in held and view.subscription is None:
                await self._open(view)
        self._is_open = True
        if any(view.arrived for view in self.views.values()):
            self._changed.set()

    async def close(self) -> None:
        """Stop what is under way."""
        await self.hold(tuple(Priority))
        self._is_open = False

    async def _open(self, view: LaneView) -> None:
        view.inbox = self._bus.nc.new_inbox()
        view.depth = 1
        view.subscription = await self._bus.nc.subscribe(
            f"{view.inbox}.*", cb=partial(self._receive, view)
        )

    async def _close(self, view: LaneView) -> None:
        subscription, view.subscription = view.subscription, None
        if subscription is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await subscription.drain()  # type: ignore[no-untyped-call]
        except (nats.errors.Error, TimeoutError, ConnectionError) as error:
            log.info("lane.drain_failed", lane=str(view.lane), error=repr(error))
        view.order = None

    def look_again(self) -> None:
        """Believe again that every lane may have something."""
        for view in self.views.values():
            view.depth = max(view.depth, 1)

    async def ask(self, priority: Priority, size: int) -> None:
        """Ask a lane for what it has now, at most ``size`` messages."""
        await self._pull(
            self.views[priority],
            size,
            b'{"batch":%d,"no_wait":true}' % size,
            _BATCH_SECONDS,
            stands=False,
        )

    async def stand(self, priority: Priority, size: int = 1) -> None:
        """Have a lane send its next messages as they come."""
        request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (
            size,
            int(STANDING_SECONDS * 1e9),
            int(HEARTBEAT_SECONDS * 1e9),
        )
        view = self.views[priority]
        await self._pull(view, size, request, _SILENCE_SECONDS, stands=True)

    async def _pull(
        self,
        view: LaneView,
        size: int,
        request: bytes,
        answer_seconds: float,
        *,
        stands: bool,
    ) -> None:
        self._numbers += 1
        view.order = _Order(self._numbers, size, answer_seconds, stands=stands)
        reply = f"{view.inbox}.{self._numbers}"
        try:
            await self._bus.nc.publish(view.next_subject, request, reply=reply)
        except BaseException:
            view.order = None
            raise

    async def _receive(self, view: LaneView, msg: Msg) -> None:
        if msg.subject != view.subject:
            self._read_status(view, msg)
            return
        view.arrived.append(msg)
        order = view.order
        # More than was asked for can come from a pull taken for lost: it is taken all the same.
        if order is not None:
            order.left -= 1
            if order.left == 0:
                view.order = None
                view.depth = order.depth_after(msg.metadata.num_pending)
                self._changed.set()
            elif order.stands:
                order.heard(_SILENCE_SECONDS)
                self._changed.set()

    def _read_status(self, view: LaneView, msg: Msg) -> None:
        order = view.order
        if order is None or not msg.subject.endswith(f".{order.number}"):
            return  # about a pull that was given up
        status = (msg.headers or {}).get("Status", "")
        if status == "100":
            order.heard(_SILENCE_SECONDS)
            return
        view.order = None
        view.depth = 0
        if status not in ("404", "408"):
            self._hold_off(view, status)
        self._changed.set()

    def _hold_off(self, view: LaneView, status: str) -> None:
        """Ask later: there is no such consumer, it has no leader, or its server goes down."""
        now = time.monotonic()
        if now - view.refused_until > _SAID_AGAIN_SECONDS:
            log.warning("pull.refused", lane=str(view.lane), status=status)
        view.refused_until = now + _REFUSED_PAUSE_SECONDS

    def _forget_orders(self) -> None:
        """Ask everything again: a reconnect means the server lost our pulls."""
        for view in self.views.values():
            view.order = None
            view.depth = 1
            view.refused_until = -math.inf
        self._changed.set()

    def give_up_lost(self) -> None:
        """Let go of pulls that went unanswered for too long."""
        now = time.monotonic()
        for view in self.views.values():
            if view.order is not None and view.order.deadline <= now:
                view.order = None
                view.depth = 1
                self._metrics.pull_lost(self._channel)

    def next_deadline(self) -> float:
        """Return when to look again although nothing happened, on the monotonic clock."""
        now = time.monotonic()
        moments = [now + HEARTBEAT_SECONDS]
        for view in self.views.values():
            if view.subscription is None:
                continue
            if view.order is not None:
                moments.append(view.order.deadline)
            elif view.refused_until > now:
                moments.append(view.refused_until)
        return min(moments)

    async def take(
        self, priorities: Collection[Priority] = tuple(Priority)
    ) -> list[Holding]:
        """Return what has arrived from these lanes.

        A message that is no notification is ended and logged.
        """
        views = [self.views[priority] for priority in priorities]
        arrived = [(view.lane, msg) for view in views for msg in view.arrived]
        for view in views:
            view.arrived = []
        holdings = []
        malformed = []
        for lane, msg in arrived:
            try:
                id_ = _decode(msg.data).notification_id
            except msgspec.DecodeError as error:
                log.warning("message.malformed", lane=str(lane), error=str(error))
                self._metrics.unclaimed(self._channel, "malformed")
                malformed.append(answers.terminate(msg.reply, "malformed"))
                continue
            holdings.append(Holding(id_, lane, msg.reply))
        if malformed:
            await self._answers.send(malformed)
        return holdings
