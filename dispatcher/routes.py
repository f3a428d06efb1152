"""Reads which providers carry which channel, and when a provider is left for another."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from contracts.channels import Channel
from dispatcher.breakers import HealthPolicy
from dispatcher.errors import DispatcherError, RoutesInvalid
from dispatcher.providers import discovery

BUNDLED = Path(__file__).with_name("routes.toml")

#: A token of a subject, a label of a metric, and the middle of a variable's name.
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


_T = TypeVar("_T")


class Leg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider of a channel."""

    name: _Name
    weight: Annotated[float, Meta(ge=0)] = 1.0  #: 0 stands by


class ProviderEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """What the file says of a provider."""

    kind: str | None = None
    rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0


class _Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    providers: Annotated[tuple[Leg, ...], Meta(min_length=1)]


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    health: HealthPolicy = HealthPolicy()
    providers: Mapping[str, ProviderEntry] = {}
    channels: Mapping[Channel, _Channel] = {}

    def legs(self, default: str) -> Mapping[Channel, tuple[Leg, ...]]:
        """Return the providers of every channel; ``default`` carries what has no route.

        A channel that ``default`` cannot carry has none.
        """
        found = {channel: route.providers for channel, route in self.channels.items()}
        rest = [channel for channel in Channel if channel not in found]
        if rest:
            carried = self.carried(default)
            found |= {c: (Leg(name=default),) for c in rest if c in carried}
        return found

    def kind(self, name: str) -> str:
        """Return what a provider is, by the name of its entry point."""
        entry = self.providers.get(name)
        return (entry and entry.kind) or name

    def carried(self, name: str) -> frozenset[Channel]:
        """Return the channels that a provider carries, as it is set up.

        Raises ``DispatcherError`` when there is no such provider, or its settings are wrong.
        """
        kind = discovery.find(self.kind(name))
        return discovery.settings_of(kind, self.prefix(name)).carried(kind.channels)

    def rate(self, name: str) -> float:
        """Return what a provider may get per second; 0 is unlimited."""
        entry = self.providers.get(name)
        return entry.rate if entry else 0.0

    def prefix(self, name: str) -> str | None:
        """Return where a provider's settings come from; None is its kind's own prefix."""
        if self.kind(name) == name:
            return None
        return f"TOCSIN_{name.upper().replace('-', '_')}_"


def load(path: Path, default: str) -> Routes:
    """Read the routes and check every provider they use.

    Raises ``RoutesInvalid`` with the file and the key that is wrong.
    """
    try:
        routes = _read(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise RoutesInvalid(f"{path}: {error}") from error
    for channel, route in routes.channels.items():
        key = f"{path}: channels.{channel}.providers"
        if len({leg.name for leg in route.providers}) < len(route.providers):
            raise RoutesInvalid(f"{key}: a provider is named twice")
        if not any(leg.weight for leg in route.providers):
            raise RoutesInvalid(f"{key}: one of them needs a weight above 0")
        for index, leg in enumerate(route.providers):
            _check(routes, leg.name, channel, f"{key}[{index}]")
    if len(routes.channels) < len(Channel):
        _check(routes, default, None, "TOCSIN_DISPATCHER_PROVIDER")
    return routes


def _read(tables: dict[str, Any]) -> Routes:
    if unknown := tables.keys() - set(Routes.__struct_fields__):
        raise ValueError(f"there is no table '{min(unknown)}'")
    channels = _convert(tables.get("channels", {}), dict[str, Any], "channels")
    if unknown := channels.keys() - set(Channel):
        raise ValueError(f"channels: no channel is called '{min(unknown)}'")
    providers = _convert(tables.get("providers", {}), dict[str, Any], "providers")
    return Routes(
        health=_convert(tables.get("health", {}), HealthPolicy, "health"),
        providers={
            name: _convert(table, ProviderEntry, f"providers.{name}")
            for name, table in providers.items()
        },
        channels={
            Channel(name): _convert(table, _Channel, f"channels.{name}")
            for name, table in channels.items()
        },
    )


def _convert(table: object, kind: type[_T], key: str) -> _T:
    """Convert one table; a mistake is named by its key from the top of the file."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ValueError(f"{key}{where.rstrip('`')}: {what}") from error


def _check(routes: Routes, name: str, channel: Channel | None, key: str) -> None:
    """Raise ``RoutesInvalid`` unless the provider could be opened and carries the channel."""
    try:
        carried = routes.carried(name)
    except DispatcherError as error:
        raise RoutesInvalid(f"{key}: {error}") from error
    if channel is not None and channel not in carried:
        raise RoutesInvalid(f"{key}: '{name}' does not carry {channel}")
