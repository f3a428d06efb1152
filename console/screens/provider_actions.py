"""The key that orders a breaker, on every screen that has a provider in hand."""

from abc import abstractmethod

from console.keys import Key
from console.model.views import ProviderView
from console.screens.breaker_changes import ordering
from console.screens.mesh_screen import MeshScreen


class ProviderActions(MeshScreen):
    """A screen on which breakers can be ordered."""

    @abstractmethod
    def provider_in_hand(self) -> ProviderView | None:
        """Return the provider that a key concerns."""

    def illegal(self, key: Key) -> str:
        """Say why nothing can be done to a provider."""
        if key.id == "breaker" and self.provider_in_hand() is None:
            return "no provider is selected"
        return super().illegal(key)

    def action_breaker(self) -> None:
        """Order the provider's breaker."""
        provider, picture = self.provider_in_hand(), self.picture
        operator = picture.acting.operator if picture is not None else None
        if provider is not None and operator is not None:
            self.propose(ordering(provider, operator))
