"""One channel's loop: how many may be sent now? Fetch that many, claim them, send them."""

import asyncio
import math
import time
from collections.abc import Collection, Iterable, Sequence

import nats.errors
import structlog

from contracts.channels import Channel, Priority
from dispatcher.claims import Claims
from dispatcher.demand import URGENT, demand
from dispatcher.holdings import Holding
from dispatcher.lanes import Lanes, LaneView
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.purse import Purse
from dispatcher.routing import Passage, Route
from dispatcher.sends import Sends
from dispatcher.shares import Divider
from dispatcher.slots import Slots
from dispatcher.unclaimed import Unclaimed
from ops.runtime import ledger
from ops.runtime.bus import Bus
from ops.runtime.controls import Controls
from ops.runtime.tasks import first_of, keep_running

log = structlog.stdlib.get_logger()

#: Pulls smaller than this come no faster than this, so that a channel works in groups and not
#: one by one.
_SMALL = 64
_SMALL_SECONDS = 0.01
#: How long until a channel without a provider looks for one it may probe.
_LOOK_AGAIN_SECONDS = 0.5
_PUT_BACK_SECONDS = 1.0
#: An urgent lane without work has a pull for so many stand open, where no limit counts them:
#: between two pulls a message waits for the pump to come round.
_URGENT_AHEAD = 16
_EVERY_LANE = frozenset(Priority)
#: Which lanes' messages are claimed together, and by how many statements at once.
_CLAIMS = {(URGENT,): 2, tuple(p for p in Priority if p is not URGENT): 1}
_MAY_COME = {Passage.OPEN: None, Passage.PROBE: 1, Passage.SHUT: 0}


class Pump:
    """Moves one channel's messages from the bus to the provider.

    Pauses, providers, pacing and free slots gate the fetch: a message that may not be sent yet
    waits on the stream, where waiting spends no attempt and no delivery.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        bus: Bus,
        changed: asyncio.Event,
        lanes: Lanes,
        slots: Slots,
        pacing: Pacing,
        controls: Controls,
        route: Route,
        claims: Claims,
        sends: Sends,
        unclaimed: Unclaimed,
        metrics: Metrics,
        group_at_most: int,
    ) -> None:
        self.name = f"pump.{channel}"
        self._channel = channel
        self._bus = bus
        self._changed = changed
        self._lanes = lanes
        self._slots = slots
        self._controls = controls
        self._route = route
        self._claims = claims
        self._sends = sends
        self._unclaimed = unclaimed
        self._metrics = metrics
        self._group_at_most = group_at_most
        self._divider = Divider()
        self._purse = Purse(channel, pacing, route, metrics)
        self._looked: set[Priority] = set()  #: empty lanes, asked since a token came
        self._drawn = 0
        self._claiming: dict[Collection[Priority], list[asyncio.Task[None]]] = {
            priorities: [] for priorities in _CLAIMS
        }
        self._small_at = 0.0
        self._stopping = asyncio.Event()
        self._paused: frozenset[Priority] = frozenset()
        self._passage: Passage | None = None  #: None before lanes are open

    def stir(self) -> None:
        """Look again at once: limits, controls or providers have changed."""
        self._purse.stir(self._lanes.outstanding)
        self._obey_pauses()  # at once: the pump itself may be waiting for the ledger
        self._changed.set()

    def _obey_pauses(self) -> None:
        self._sends.pause(self._channel, self._controls.paused(self._channel))

    def check(self) -> None:
        """Raise while the lanes cannot be pulled."""
        self._lanes.check()

    async def run(self, stopping: asyncio.Event) -> None:
        """Pump until told to stop, then put back what came and was not claimed."""
        self._stopping = stopping
        waking = asyncio.create_task(self._wake_to_stop(), name=f"{self.name}.stop")
        try:
            await keep_running(
                self.name,
                self.turn,
                stopping,
                self._metrics.loop_errors,
                expected=(*ledger.AWAY, nats.errors.Error),
            )
        finally:
            waking.cancel()
            try:
                await self._end_claiming()
            finally:
                await self._lanes.close()
                await self._claims.put_back(await self._lanes.take())

    async def _end_claiming(self) -> None:
        """Wait for claims that are being made; they notice by themselves that it is time."""
        claiming = [claim for some in self._claiming.values() for claim in some]
        for error in await asyncio.gather(*claiming, return_exceptions=True):
            if error is not None:
                log.warning("claim.failed", error=repr(error))

    async def _wake_to_stop(self) -> None:
        await self._stopping.wait()
        self._changed.set()

    async def turn(self) -> None:
        """Ask for what may be sent, and send what came, or wait for something to happen."""
        if not self._bus.connected.is_set():
            await first_of(self._bus.connected, self._stopping)
            return
        self._changed.clear()
        await self._shape()
        self._lanes.give_up_lost()
        if not self._stopping.is_set():
            await self._accept()
        # What is asked for now is on its way while what came is claimed.
        look_again_at = await self._ask()
        look_again_at = min(look_again_at, self._lanes.next_deadline())
        try:
            async with asyncio.timeout(look_again_at - time.monotonic()):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _shape(self) -> None:
        """Hold the lanes that are not to be pulled: a pull that stands open brings more."""
        paused, passage = self._controls.paused(self._channel), self._route.passage()
        if paused == self._paused and passage is self._passage:
            return
        if passage is Passage.PROBE:
            await self._lanes.hold(_EVERY_LANE)
        await self._lanes.hold(_EVERY_LANE if passage is Passage.SHUT else paused)
        if paused != self._paused:
            self._metrics.lanes_paused(self._channel, paused)
        self._paused, self._passage = paused, passage

    async def _ask(self) -> float:
        """Place the pulls that are allowed now, and return when more may be."""
        now = time.monotonic()
        askable = [
            (priority, view)
            for priority, view in self._lanes.views.items()
            if view.order is None
            and view.subscription is not None
            and view.refused_until <= now
        ]
        if self._passage is Passage.PROBE:
            return await self._ask_for_probe(askable)
        if self._passage is Passage.SHUT:
            return now + _LOOK_AGAIN_SECONDS
        empty = [priority for priority, view in askable if not view.depth]
        waiting = {priority: view.depth for priority, view in askable if view.depth}
        outstanding = self._lanes.outstanding
        wish = demand(waiting, empty, outstanding, self._slots, self._group_at_most)
        self._slots.awaited = wish.awaited
        if wish.size <= 0:
            return math.inf
        tokens = await self._purse.draw(
            wish.size,
            urgent=wish.urgent,
            outstanding=outstanding,
            unsent=self._slots.waiting,
            has_work=wish.has_room,
        )
        wanted, standing = wish.wanted, wish.standing
        if waiting and tokens < wish.size and tokens <= len(standing):
            self._doubt(standing, wanted)
        else:
            for priority in standing[:tokens]:
                is_free = priority is URGENT and not self._purse.is_limited
                await self._lanes.stand(priority, self._ahead if is_free else 1)
            tokens -= min(len(standing), tokens)
        now = time.monotonic()
        later = self._purse.next_at if self._purse.next_at > now else math.inf
        if wanted and tokens:
            if tokens < _SMALL and now < self._small_at:
                return min(later, self._small_at)
            self._small_at = now + _SMALL_SECONDS
            for priority, size in self._divider.divide(tokens, wanted).items():
                if size:
                    self._looked.add(priority)
                    await self._lanes.ask(priority, size)
        return later

    @property
    def _ahead(self) -> int:
        """Return how many urgent messages a pull may bring; the others have less room for it."""
        share = max(1, self._group_at_most // 4)
        return min(_URGENT_AHEAD, self._slots.worth_a_pull, share)

    def _doubt(self, empty: Iterable[Priority], wanted: dict[Priority, int]) -> None:
        """Have lanes that are believed empty asked too, each once for every token that comes.

        Where tokens are few, one that is tied to an empty lane is missing where work waits.
        """
        if self._drawn != self._purse.drawn:
            self._drawn = self._purse.drawn
            self._looked.clear()
        wanted |= {priority: 1 for priority in empty if priority not in self._looked}

    async def _ask_for_probe(
        self, askable: Sequence[tuple[Priority, LaneView]]
    ) -> float:
        """Ask for one message, the most urgent there is; nothing waits for a later one."""
        self._slots.awaited = 1 if self._slots.room() < 1 else 0
        if self._lanes.outstanding or self._slots.awaited:
            return math.inf
        if self._slots.waiting:
            return time.monotonic() + _LOOK_AGAIN_SECONDS
        for priority, view in askable:
            if view.depth:
                await self._lanes.ask(priority, 1)
                return math.inf
        self._lanes.look_again()
        self._route.release_probe()
        return time.monotonic() + _LOOK_AGAIN_SECONDS

    async def _accept(self) -> None:
        """Claim what came, urgent messages beside the others: neither waits for the other."""
        for priorities, at_once in _CLAIMS.items():
            claiming = self._claiming[priorities]
            for ended in [claim for claim in claiming if claim.done()]:
                claiming.remove(ended)
                ended.result()
            if len(claiming) < at_once and (group := await self._take(priorities)):
                claim = asyncio.create_task(
                    self._dispatch(group), name=f"{self.name}.claim"
                )
                claim.add_done_callback(lambda _: self._changed.set())
                claiming.append(claim)

    async def _take(self, priorities: Collection[Priority]) -> Sequence[Holding]:
        """Take what came of these lanes, and account for it."""
        arrived = await self._lanes.take(priorities)
        at_most = _MAY_COME[self._route.passage()] if arrived else None
        group = arrived[:at_most]
        if too_many := arrived[len(group) :]:
            # They were on their way when the last provider went.
            await self._claims.put_back(too_many, _PUT_BACK_SECONDS)
        if group and URGENT in priorities:
            self._sends.make_way(len(group) + self._lanes.views[URGENT].depth)
        self._purse.spend(len(group))
        self._slots.take(len(group))
        return group

    async def _dispatch(self, group: Sequence[Holding]) -> None:
        claimed: Sequence[Holding] = ()
        try:
            claimed = await self._claims.claim(group)
        finally:
            not_sent = len(group) - len(claimed)
            self._slots.give_back(not_sent)
            self._purse.take_back(not_sent)
        unclaimed = [holding for holding in group if holding.claim is None]
        if self._stopping.is_set():
            self._sends.give_back(claimed)
            await self._claims.put_back(unclaimed)
            return
        self._sends.start(claimed)
        self._obey_pauses()  # which may have been set while these were claimed
        if unclaimed:
            await self._unclaimed.answer(unclaimed)
