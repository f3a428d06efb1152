"""What may be sent per second: an operator's word, or else what is configured."""

from contracts.channels import Channel
from dispatcher.routes import Routes
from ops.runtime.controls import Controls


class Rates:
    """The limits in force, all dispatchers together; 0 is unlimited."""

    def __init__(
        self, controls: Controls, channel_rate: float, routes: Routes | None = None
    ) -> None:
        self._controls = controls
        self._channel_rate = channel_rate
        self.routes = routes or Routes()

    def channel(self, channel: Channel) -> float:
        """Return what a channel may send."""
        said = self._controls.channel_rate(channel)
        return self._channel_rate if said is None else said

    def provider(self, name: str) -> float:
        """Return what a provider may get, over all channels."""
        said = self._controls.provider_rate(name)
        return self.routes.rate(name) if said is None else said
