"""Builds a dispatcher from its parts, runs it, and drains it."""

import asyncio
import secrets
import signal
import time
from contextlib import AsyncExitStack
from random import Random

import msgspec
import structlog

from contracts.channels import Channel
from contracts.mesh import ProviderReading
from contracts.outcomes import OutcomeClass
from dispatcher import retries
from dispatcher.answers import Answers
from dispatcher.carriers import Carriers
from dispatcher.claims import Claims
from dispatcher.lanes import Lanes
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.peers import Peers
from dispatcher.pump import Pump
from dispatcher.rates import Rates
from dispatcher.routing import Route
from dispatcher.sends import COUNTS_AGAINST, Sends
from dispatcher.settings import DispatcherSettings
from dispatcher.settling import Settler
from dispatcher.sharing import Breakers
from dispatcher.slots import Slots
from dispatcher.store import Store
from dispatcher.turnstiles import Turnstile
from dispatcher.unclaimed import Unclaimed
from ops.runtime.absence import Absence
from ops.runtime.controls import Controls
from ops.runtime.health import serve_health
from ops.runtime.heartbeat import Readings
from ops.runtime.service import Service
from ops.runtime.tasks import first_of, keep_running

log = structlog.stdlib.get_logger()

#: Shares of the time for draining; what is left is for writing outcomes after the last send.
_PUMPS_SHARE = 0.2
_SENDS_SHARE = 0.6
_LAST_WORD_SECONDS = 0.5


class Dispatcher:
    """The parts of one dispatcher, joined."""

    def __init__(
        self,
        settings: DispatcherSettings,
        service: Service,
        metrics: Metrics,
        stack: AsyncExitStack,
    ) -> None:
        self._service = service
        self._drain_seconds = settings.drain_seconds
        self._metrics = metrics
        bus = service.bus
        owner = f"{service.instance}/{secrets.token_hex(4)}"
        lease_seconds = settings.dispatcher_lease_seconds
        changed = {channel: asyncio.Event() for channel in Channel}
        slots = {
            channel: Slots(settings.dispatcher_concurrency, changed[channel])
            for channel in Channel
        }
        answers = Answers(bus.nc, metrics)
        store = Store(service.ledger, owner, lease_seconds)
        absence = Absence(lease_seconds)
        self._leases = Leases(store, answers, metrics, absence, lease_seconds)
        turnstile = Turnstile(settings.dispatcher_cpu_beside_high)
        self._settler = Settler(
            store, self._leases, answers, metrics, absence, slots, turnstile
        )
        self._peers = Peers()
        self._controls = Controls(bus)
        self._rates = Rates(self._controls, settings.dispatcher_channel_rate)
        self._pacing = Pacing(service.redis, self._peers, metrics, self._rates)
        self._breakers = Breakers(
            bus,
            self._controls,
            self._peers,
            metrics,
            instance=service.instance,
        )
        self._routes = {
            channel: Route(channel, self._breakers, self._rates, self._pacing)
            for channel in Channel
        }
        self.carriers = Carriers(
            settings,
            stack,
            routes=self._routes,
            slots=slots,
            breakers=self._breakers,
            rates=self._rates,
            on_change=self._stir,
        )
        self._sends = Sends(
            self._routes,
            retries.load(settings.dispatcher_retries_file),
            self._settler,
            self._pacing,
            metrics,
            Random(),
            slots,
            turnstile,
        )
        claims = Claims(
            store,
            self._leases,
            answers,
            metrics,
            absence,
            stopping=service.stopping,
        )
        unclaimed = Unclaimed(store, self._leases, answers, metrics, absence)
        self._pumps = [
            Pump(
                channel,
                bus=bus,
                changed=changed[channel],
                lanes=Lanes(bus, channel, answers, metrics, changed[channel]),
                slots=slots[channel],
                pacing=self._pacing,
                controls=self._controls,
                route=self._routes[channel],
                claims=claims,
                sends=self._sends,
                unclaimed=unclaimed,
                metrics=metrics,
                group_at_most=settings.dispatcher_group_at_most,
            )
            for channel in Channel
        ]
        self._controls.on_change(self._stir)
        self._breakers.on_change(self._stir)

    def _stir(self) -> None:
        """Let a change of limits, pauses or providers take effect at once."""
        self.carriers.refresh()
        for pump in self._pumps:
            pump.stir()

    async def _watch_providers(self) -> None:
        await self._breakers.tick()
        self.carriers.refresh()
        for channel, route in self._routes.items():
            parts = {leg.name: leg.share for leg in route.legs}
            self._metrics.shares_are(channel, parts)

    async def run(self) -> None:
        """Dispatch until told to stop, then drain.

        Draining goes from the bus inwards: no more pulls, then the sends under way, then
        their outcomes. Leases are kept alive to the very end.
        """
        stopping = self._service.stopping
        async with asyncio.TaskGroup() as group:
            leases = group.create_task(self._leases.run(), name="leases")
            settling = group.create_task(self._settler.run(), name="settler")
            group.create_task(self._pacing.run(stopping), name="pacing")
            group.create_task(self._hear_peers(), name="peers")
            group.create_task(self._controls.run(stopping), name="controls")
            group.create_task(self._breakers.follow(stopping), name="breakers")
            for name, turn in (
                ("providers", self._watch_providers),
                ("routes", self.carriers.look),
            ):
                errors = self._metrics.loop_errors
                group.create_task(keep_running(name, turn, stopping, errors), name=name)
            pumps = {
                group.create_task(pump.run(stopping), name=pump.name)
                for pump in self._pumps
            }
            await stopping.wait()
            await self._drain(pumps, settling)
            leases.cancel()

    async def _drain(
        self, pumps: set["asyncio.Task[None]"], settling: "asyncio.Task[None]"
    ) -> None:
        started_at = time.monotonic()
        await self._wait_or_cancel(pumps, self._drain_seconds * _PUMPS_SHARE)
        await self._sends.drain(self._drain_seconds * _SENDS_SHARE)
        self._settler.close()
        left = started_at + self._drain_seconds - time.monotonic()
        await asyncio.wait({settling}, timeout=max(left, 0.1))
        self._settler.give_up_writing()
        await self._wait_or_cancel({settling}, _LAST_WORD_SECONDS)
        log.info(
            "dispatcher.drained",
            left_behind=len(self._leases),
            seconds=round(time.monotonic() - started_at, 3),
        )

    async def _hear_peers(self) -> None:
        await first_of(self._service.bus.connected, self._service.stopping)
        if not self._service.stopping.is_set():
            await self._peers.listen(self._service.bus)

    async def check_lanes(self) -> None:
        """Raise while a channel's lanes cannot be pulled."""
        for pump in self._pumps:
            pump.check()

    def readings(self) -> Readings:
        """Return what the heartbeat says of this dispatcher."""
        return Readings(
            lanes=self._metrics.lane_readings(),
            limits={
                channel: rate
                for channel in Channel
                if (rate := self._rates.channel(channel))
            },
            tokens_per_second=self._pacing.tokens_per_second(),
            throttled_seconds=self._metrics.throttled_seconds(),
            providers=[self._completed(p) for p in self._breakers.readings()],
            gauges={"held_messages": len(self._leases)},
        )

    async def _wait_or_cancel(
        self, tasks: set["asyncio.Task[None]"], seconds: float
    ) -> None:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            log.warning("drain.cut_off", task=task.get_name())
            task.cancel()
        if late:
            # A statement that is cancelled waits for the server, which may be frozen.
            self._service.ledger.hang_up()
            await asyncio.wait(late)

    def _completed(self, reading: ProviderReading) -> ProviderReading:
        counts = self._metrics.provider_attempts(reading.name)
        return msgspec.structs.replace(
            reading,
            rate_limit=self._rates.provider(reading.name),
            shares={
                channel: leg.share
                for channel, route in self._routes.items()
                for leg in route.legs
                if leg.name == reading.name
            },
            attempts=sum(counts.values()),
            failed=sum(counts[outcome] for outcome in COUNTS_AGAINST),
            throttled=counts[OutcomeClass.THROTTLED],
        )


async def run(settings: DispatcherSettings, service: Service) -> None:
    """Run a dispatcher until the service is told to stop and everything has drained."""
    metrics = Metrics(service.registry)
    async with AsyncExitStack() as stack:
        dispatcher = Dispatcher(settings, service, metrics, stack)
        await dispatcher.carriers.load()
        service.readiness.depends_on("lanes", dispatcher.check_lanes)
        service.heartbeat.reports(dispatcher.readings)
        await stack.enter_async_context(
            serve_health(
                service.readiness,
                service.registry,
                settings.dispatcher_metrics_host,
                settings.dispatcher_metrics_port,
            )
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, dispatcher.carriers.asked.set)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        log.info(
            "dispatcher.configured",
            channel_rate=settings.dispatcher_channel_rate,
            concurrency=settings.dispatcher_concurrency,
            lease_seconds=settings.dispatcher_lease_seconds,
        )
        await dispatcher.run()
