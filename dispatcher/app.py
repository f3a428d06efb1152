"""Builds a dispatcher from its parts, runs it, and drains it."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from random import Random

import structlog
from pydantic import SecretStr

from contracts.channels import Channel
from dispatcher import retries
from dispatcher.answers import Answers
from dispatcher.claims import Claims
from dispatcher.lanes import Lanes
from dispatcher.leases import Leases
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.peers import Peers
from dispatcher.providers import discovery
from dispatcher.providers.port import Provider
from dispatcher.pump import Pump
from dispatcher.sends import Sends
from dispatcher.settings import DispatcherSettings
from dispatcher.settling import Settler
from dispatcher.slots import Slots
from dispatcher.store import Store
from dispatcher.unclaimed import Unclaimed
from ops.runtime.health import serve_health
from ops.runtime.heartbeat import Readings
from ops.runtime.service import Service
from ops.runtime.tasks import first_of

log = structlog.stdlib.get_logger()

#: Shares of the time for draining; what is left is for writing outcomes after the last send.
_PUMPS_SHARE = 0.2
_SENDS_SHARE = 0.6
_LAST_WORD_SECONDS = 0.5
_SLOTS_AT_LEAST = 4


class Dispatcher:
    """The parts of one dispatcher, joined."""

    def __init__(
        self,
        settings: DispatcherSettings,
        service: Service,
        providers: dict[Channel, Provider],
        metrics: Metrics,
    ) -> None:
        self._service = service
        self._drain_seconds = settings.drain_seconds
        self._rate = settings.dispatcher_channel_rate
        self._metrics = metrics
        bus = service.bus
        owner = f"{service.instance}/{secrets.token_hex(4)}"
        lease_seconds = settings.dispatcher_lease_seconds
        changed = {channel: asyncio.Event() for channel in Channel}
        slots = {
            channel: Slots(
                concurrency(settings.dispatcher_concurrency, providers.get(channel)),
                changed[channel],
            )
            for channel in Channel
        }
        answers = Answers(bus.nc, metrics)
        store = Store(service.ledger, owner, lease_seconds)
        self._leases = Leases(store, answers, metrics, lease_seconds)
        self._settler = Settler(store, self._leases, answers, metrics, slots)
        self._peers = Peers()
        self._pacing = Pacing(
            service.redis,
            self._peers,
            metrics,
            rate=self._rate,
            provider_names={channel: p.name for channel, p in providers.items()},
        )
        self._sends = Sends(
            providers,
            retries.load(settings.dispatcher_retries_file),
            self._settler,
            self._pacing,
            metrics,
            Random(),
            slots,
        )
        claims = Claims(
            store,
            self._leases,
            answers,
            metrics,
            lease_seconds=lease_seconds,
            stopping=service.stopping,
        )
        unclaimed = Unclaimed(store, self._leases, answers, metrics)
        self._pumps = [
            Pump(
                channel,
                bus=bus,
                changed=changed[channel],
                lanes=Lanes(bus, channel, answers, metrics, changed[channel]),
                slots=slots[channel],
                pacing=self._pacing,
                claims=claims,
                sends=self._sends,
                unclaimed=unclaimed,
                metrics=metrics,
                group_at_most=settings.dispatcher_group_at_most,
            )
            for channel in Channel
        ]

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
        await _wait_or_cancel(pumps, self._drain_seconds * _PUMPS_SHARE)
        await self._sends.drain(self._drain_seconds * _SENDS_SHARE)
        self._settler.close()
        left = started_at + self._drain_seconds - time.monotonic()
        await asyncio.wait({settling}, timeout=max(left, 0.1))
        self._settler.give_up_writing()
        await _wait_or_cancel({settling}, _LAST_WORD_SECONDS)
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
            limits=dict.fromkeys(Channel, self._rate) if self._rate else {},
            gauges={"held_messages": len(self._leases)},
        )


async def _wait_or_cancel(tasks: set["asyncio.Task[None]"], seconds: float) -> None:
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        log.warning("drain.cut_off", task=task.get_name())
        task.cancel()
    if late:
        await asyncio.wait(late)


def concurrency(at_most: int, provider: Provider | None) -> int:
    """Return how many sends of a channel may be in flight: what its provider can carry.

    Two lanes without work hold a slot each, so that fewer than four would starve the third.
    """
    if provider is None or provider.concurrency is None:
        return at_most
    return min(at_most, max(provider.concurrency, _SLOTS_AT_LEAST))


async def run(settings: DispatcherSettings, service: Service) -> None:
    """Run a dispatcher until the service is told to stop and everything has drained."""
    metrics = Metrics(service.registry)
    kind = discovery.find(settings.dispatcher_provider)
    provider_settings = discovery.settings_of(kind)
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(kind.open(provider_settings))
        providers = {
            channel: provider for channel in Channel if channel in provider.channels
        }
        dispatcher = Dispatcher(settings, service, providers, metrics)
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
        log.info(
            "dispatcher.configured",
            provider=provider.name,
            channels=sorted(providers),
            channel_rate=settings.dispatcher_channel_rate,
            concurrency=settings.dispatcher_concurrency,
            lease_seconds=settings.dispatcher_lease_seconds,
            secrets_given=[
                name
                for name, value in provider_settings
                if isinstance(value, SecretStr)
            ],
        )
        await dispatcher.run()
