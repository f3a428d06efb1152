"""Opens the providers that the routes name, and opens others when the file changes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from contracts.channels import Channel
from dispatcher import routes as files
from dispatcher.breakers import HealthPolicy
from dispatcher.errors import RoutesInvalid
from dispatcher.places import Narrow, places
from dispatcher.providers import discovery
from dispatcher.providers.port import Provider
from dispatcher.rates import Rates
from dispatcher.routes import Leg, Routes
from dispatcher.routing import Route, RouteLeg
from dispatcher.settings import DispatcherSettings
from dispatcher.sharing import Breakers
from dispatcher.slots import Slots

log = structlog.stdlib.get_logger()

_LOOK_SECONDS = 1.0


class Carriers:
    """The providers in use, and the routes over them.

    ``stack`` closes the providers at the end. One that no route names any more stays open
    until then: notifications may be on their way through it.
    """

    def __init__(
        self,
        settings: DispatcherSettings,
        stack: AsyncExitStack,
        *,
        routes: Mapping[Channel, Route],
        slots: Mapping[Channel, Slots],
        breakers: Breakers,
        rates: Rates,
        on_change: Callable[[], None],
    ) -> None:
        self._path = settings.dispatcher_routes
        self._default = settings.dispatcher_provider
        self._concurrency = settings.dispatcher_concurrency
        self._stack = stack
        self._routes = routes
        self._slots = slots
        self._breakers = breakers
        self._rates = rates
        self._on_change = on_change
        self._opened: dict[tuple[str, str], Provider] = {}
        self._narrow: dict[tuple[Channel, Provider], Narrow] = {}
        self._version = _version(self._path)
        self.asked = asyncio.Event()  #: set to have the file read again

    async def load(self) -> None:
        """Read the file and go by it; raises ``RoutesInvalid``, and then nothing has changed.

        Nor has it when a provider could not be opened, which ``look`` tries again.
        """
        version = _version(self._path)
        try:
            routes = files.load(self._path, self._default)
        except RoutesInvalid:
            self._version = version  # which will not become valid by itself
            raise
        legs = routes.legs(self._default)
        names = {leg.name for channel_legs in legs.values() for leg in channel_legs}
        providers = {name: await self._open(routes, name) for name in sorted(names)}
        self._rates.routes = routes
        self._breakers.adopt(
            {name: self._policy(routes, one) for name, one in providers.items()}
        )
        for channel, route in self._routes.items():
            route.replace(
                self._leg(channel, leg, providers[leg.name])
                for leg in legs.get(channel, ())
            )
        log.info(
            "routes.loaded",
            **{channel: [leg.name for leg in way] for channel, way in legs.items()},
        )
        self._version = version
        self._on_change()

    async def _open(self, routes: Routes, name: str) -> Provider:
        kind = routes.kind(name)
        if (name, kind) not in self._opened:
            found = discovery.find(kind)
            settings = discovery.settings_of(found, routes.prefix(name))
            self._opened[name, kind] = await self._stack.enter_async_context(
                found.open(settings)
            )
        return self._opened[name, kind]

    def _policy(self, routes: Routes, provider: Provider) -> HealthPolicy:
        at_once = places(provider, self._concurrency)
        return routes.health.fitted(at_once, provider.timeout_seconds)

    def _leg(self, channel: Channel, leg: Leg, provider: Provider) -> RouteLeg:
        if provider.concurrency is not None:
            # The same as before the file was read again: its sends go on.
            key = channel, provider
            if key not in self._narrow:
                self._narrow[key] = Narrow(provider, self._concurrency)
            provider = self._narrow[key]
        return RouteLeg(leg.name, provider, leg.weight, self._breakers.of(leg.name))

    def refresh(self) -> None:
        """Divide the traffic anew, and send as much at a time as those who get it bear."""
        for channel, route in self._routes.items():
            route.refresh()
            self._slots[channel].resize(concurrency(self._concurrency, route.used))

    async def look(self) -> None:
        """Wait a second, and go by the file if it has changed or somebody asked."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self.asked.wait()
        except TimeoutError:
            if _version(self._path) == self._version:
                return
        self.asked.clear()
        try:
            await self.load()
        except RoutesInvalid as error:
            log.error("routes.refused", error=str(error))  # noqa: TRY400 (words suffice)


def concurrency(at_most: int, providers: Sequence[Provider]) -> int:
    """Return how many sends of a channel may be in flight: what its providers bear together."""
    if not providers:
        return at_most
    return min(at_most, sum(places(provider, at_most) for provider in providers))


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
