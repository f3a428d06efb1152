"""Settings of the dispatcher, read from ``TOCSIN_…``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from contracts import topology
from contracts.settings import MeshSettings
from dispatcher import retries, routes
from dispatcher.errors import RetriesInvalid, RoutesInvalid


class DispatcherSettings(MeshSettings):
    """Everything a dispatcher can be told."""

    dispatcher_metrics_host: str = "127.0.0.1"
    """Where health and metrics listen."""
    dispatcher_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9102
    """0 takes any free port."""
    dispatcher_provider: str = "webhook"
    """Name of the provider of channels without a route (entry points ``tocsin.providers``).

    It has settings of its own, under a prefix of its own: ``docs/providers.md``.
    """
    dispatcher_channel_rate: Annotated[float, Field(ge=0, le=1_000_000)] = 100.0
    """Messages per second and channel, all dispatchers together; 0 is unlimited."""
    dispatcher_concurrency: Annotated[int, Field(ge=4, le=10_000)] = 200
    """Sends in flight per channel in this process."""
    dispatcher_cpu_beside_high: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of one processor that this process may use before sends of normal and low priority
    have to wait, while notifications of high priority come.

    More sends more of the others; less leaves the high ones more of a full machine.
    """
    dispatcher_group_at_most: Annotated[int, Field(ge=1, le=1_000)] = 500
    """Notifications claimed by one statement."""
    dispatcher_lease_seconds: Annotated[
        float, Field(ge=1, le=topology.ACK_WAIT_SECONDS)
    ] = 15.0
    """How long a dispatcher that died keeps what it held; renewed while it lives.

    At most the bus's acknowledgement wait, so that a message does not come again while its
    row is still leased to a dead dispatcher for much longer.
    """
    dispatcher_routes: Path = routes.BUNDLED
    """Which providers carry which channel; see the comments of ``dispatcher/routes.toml``."""
    dispatcher_retries_file: Path = retries.BUNDLED
    """When to try again; see the comments of the bundled ``dispatcher/retries.toml``."""

    @field_validator("dispatcher_retries_file")
    @classmethod
    def retries_are_readable(cls, path: Path) -> Path:
        """Read the retry policies once, so that a mistake in them stops the start."""
        try:
            retries.load(path)
        except RetriesInvalid as error:
            raise ValueError(str(error)) from error
        return path

    @model_validator(mode="after")
    def routes_lead_somewhere(self) -> Self:
        """Read routes and the settings of providers once: a mistake in them stops the start."""
        try:
            routes.load(self.dispatcher_routes, self.dispatcher_provider)
        except RoutesInvalid as error:
            raise ValueError(str(error)) from error
        return self
