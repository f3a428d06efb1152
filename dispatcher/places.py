"""How many sends of a channel a provider bears at a time, where it has said so."""

from dispatcher.providers.port import OutboundMessage, Outcome, Provider

#: Two lanes without work hold a slot each, so that fewer than four would starve the third.
_AT_LEAST = 4


def places(provider: Provider, at_most: int) -> int:
    """Return how many sends may be under way at a provider; ``at_most`` where it says nothing."""
    if provider.concurrency is None:
        return at_most
    return min(at_most, max(provider.concurrency, _AT_LEAST))


class Narrow(Provider):
    """A provider with a concurrency, as one channel sees it: counts the sends under way."""

    def __init__(self, provider: Provider, at_most: int) -> None:
        self._provider = provider
        self._under_way = 0
        self._places = places(provider, at_most)
        self.name = provider.name
        self.channels = provider.channels
        self.timeout_seconds = provider.timeout_seconds
        self.concurrency = self._places

    @property
    def free(self) -> int:
        """Return how many more sends may begin."""
        return max(0, self._places - self._under_way)

    async def send(self, message: OutboundMessage) -> Outcome:
        """Make one attempt, which has a place until it ends, however it does."""
        self._under_way += 1
        try:
            return await self._provider.send(message)
        finally:
            self._under_way -= 1
